"""What a user gets wrong is exit code 2, with the nearest right name: never a silent or a clean report."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Run
from tests.models import ConvNet

MODEL = "tests.models:ConvNet"


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    torch.save(ConvNet().eval().state_dict(), "weights.pt")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "wieghts.pt"),
        ("check", MODEL, "--weights", "wieghts.pt"),
        ("check", MODEL, "--data", "wieghts.pt"),
        ("check", "weights.pt", "--data", "wieghts.pt"),
        ("check", "weights.pt", "weights.pt", "--data", "wieghts.pt"),
        ("check", MODEL, "--input", "wieghts.pt"),
        ("inspect", "wieghts.pt"),
        ("fold", "wieghts.pt", "--dry-run"),
        ("verify", "wieghts.pt", "--against", "weights.pt"),
    ],
)
def test_a_file_that_is_not_there_is_wrong_usage_and_the_nearest_is_offered(
    run: Run, arguments: tuple[str, ...]
) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith("Did you mean `weights.pt`?\n")
    assert ended.err.count("\n") == 1


def test_a_dot_where_an_import_string_has_a_colon(run: Run) -> None:
    ended = run("check", "tests.models.ConvNet")
    assert ended.code == 2
    assert "Did you mean `tests.models:ConvNet`?" in ended.err
    assert "Did you mean" not in run("check", "nosuchpackage.model").err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--select", "BN5", "--ignore", "BN5"), "No rule is left to run: all that are selected are ignored."),
        (("--select", "BN107"), "No rule is left to run for inference: BN107 is for training."),
        (("--select", "BN101,BN102", "--context", "training"), "BN101 and BN102 are for inference."),
    ],
)
@pytest.mark.parametrize("targets", [("weights.pt",), ("weights.pt", "weights.pt")])
def test_a_check_of_nothing_is_no_clean_report(
    run: Run, targets: tuple[str, ...], options: tuple[str, ...], says: str
) -> None:
    ended = run("check", *targets, *options)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


def test_a_rule_that_a_declaration_brings_in_is_no_check_of_nothing(run: Run) -> None:
    assert run("check", "weights.pt", "--select", "BN304").code == 2
    assert run("check", "weights.pt", "--select", "BN304", "--batch-size", "2").code == 0


def test_a_number_of_batches_without_data(run: Run) -> None:
    ended = run("check", "weights.pt", "--data-batches", "3")
    assert (ended.code, ended.out) == (2, "")
    assert "A number of data batches is given, and no data." in ended.err


def test_rules_are_told_apart_by_spaces_as_well(run: Run) -> None:
    for words in ("BN501 BN502", "BN501,BN502", "BN501, BN502"):
        report = run("check", "weights.pt", "--select", words, "--format", "json").out
        assert '"BN501"' in report, words
        assert '"BN101"' not in report, words


@pytest.mark.parametrize("value", ["{num_classes:10}", "num_classes:10", "{a: 1, num_classes:10}"])
def test_a_missing_space_in_kwargs(run: Run, value: str) -> None:
    ended = run("check", MODEL, "--kwargs", value)
    assert ended.code == 2
    assert "YAML wants a space after the colon" in ended.err
