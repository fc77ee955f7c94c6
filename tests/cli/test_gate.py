"""`--profile deploy` and `--require`: what could not be looked at does not pass a gate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Run
from tests.models import ConvNet, with_plausible_statistics

SIZE = ("--input", "2x3x8x8")


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole model in eval mode and its weights; no repository's settings apply."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    model = with_plausible_statistics(ConvNet()).eval()
    torch.save(model, "model.pt")
    torch.save(model.state_dict(), "weights.pt")


def test_a_file_that_was_only_read_as_data_does_not_pass(run: Run) -> None:
    assert run("check", "model.pt").code == 0
    ended = run("check", "model.pt", "--profile", "deploy")
    assert ended.code == 3
    assert "BN108" in ended.err
    assert "were required but could not be decided: give `--allow tests`" in ended.err


def test_the_same_model_passes_once_it_is_traced(run: Run) -> None:
    ended = run("check", "model.pt", "--profile", "deploy", "--allow", "tests", "--ignore", "BN601", *SIZE)
    assert (ended.code, ended.err) == (0, "")
    foldable = run("check", "model.pt", "--profile", "deploy", "--allow", "tests", *SIZE)
    assert foldable.code == 1


def test_weights_alone_do_not_pass_and_nobody_has_set_the_mode_of_a_factory_with_weights(run: Run) -> None:
    alone = run("check", "weights.pt", "--profile", "deploy")
    assert alone.code == 3
    assert "`package.module:name --weights weights.pt`" in alone.err
    options = ("--weights", "weights.pt", "--profile", "deploy", "--ignore", "BN601", *SIZE)
    together = run("check", "tests.models:ConvNet", *options)
    assert together.code == 3
    assert "BN101, BN102, BN103 were required" in together.err


DROPPED = "BN101 is required, but ignored or not selected. Select what is required, or require something else."
FOR_TRAINING = "BN107 is required, but would not run for inference: BN107 is for training. Give `--context training`"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--require", "BN107"), FOR_TRAINING),
        (("--require", "BN501,bn107"), FOR_TRAINING),
        (("--require", "BN501,BN101", "--ignore", "BN101"), DROPPED),
        (("--require", "model-in-training-mode", "--ignore", "BN1"), DROPPED),
        (("--require", "BN101", "--select", "BN5"), DROPPED),
        (("--require", "BN60", "--select", "BN5"), "BN601, BN602, BN603"),
    ],
)
@pytest.mark.parametrize("targets", [("weights.pt",), ("weights.pt", "model.pt")])
def test_what_is_required_and_would_not_run_is_refused(
    options: tuple[str, ...], said: str, targets: tuple[str, ...], run: Run
) -> None:
    ended = run("check", *targets, *options)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_the_file_that_requires_what_would_not_run_is_named(run: Run) -> None:
    Path("bnlint.yaml").write_text("fail_on: error\nrequire: [BN501, BN101]\n")
    ended = run("check", "model.pt", "--ignore", "BN101")
    assert ended.code == 2
    assert f"bnlint.yaml:2: {DROPPED}" in ended.err
    assert run("check", "model.pt", "--ignore", "BN101", "--require", "BN501").code == 0
    assert run("rules").code == 0


def test_some_of_a_beginning_of_codes_may_be_ignored(run: Run) -> None:
    assert run("check", "model.pt", "--require", "BN108").code == 3
    assert run("check", "model.pt", "--require", "BN1", "--ignore", "BN108").code == 3
    assert run("check", "model.pt", "--require", "BN50", "--ignore", "BN501").code == 0


def test_what_only_a_profile_requires_may_be_ignored(run: Run) -> None:
    assert run("check", "model.pt", "--profile", "deploy", "--select", "BN501").code == 0


def test_what_the_user_requires_takes_the_place_of_what_the_profile_does(run: Run) -> None:
    assert run("check", "model.pt", "--profile", "deploy", "--require", "BN501").code == 0


def test_many_files_are_held_to_it_too(run: Run) -> None:
    assert run("check", "model.pt", "weights.pt", "--require", "BN5", "--format", "concise").code == 3
    assert run("check", "model.pt", "weights.pt", "--require", "BN502", "--format", "concise").code == 0


def test_rules_says_which_are_required(run: Run) -> None:
    lines = " ".join(run("rules", "--profile", "deploy").out.split())
    assert "needs mode, graph · required" in lines
    assert "required" not in run("rules").out
