"""What is run, when, and what the report says where it cannot be run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bnlint
from bnlint.errors import UsageError
from bnlint.facts.unknown import UNKNOWN
from tests.forwards import forwards_of
from tests.models import ConvNet, with_plausible_statistics

IMAGES = torch.randn(4, 3, 16, 16)


class Breaks(ConvNet):
    """Can be traced, and fails when it is run again."""

    runs = iter(range(1))  # no number, which would be put back after each run

    def forward(self, images: Tensor) -> Tensor:
        if next(Breaks.runs, None) is None:
            raise RuntimeError("out of luck")
        return super().forward(images)


def model() -> nn.Module:
    return with_plausible_statistics(ConvNet()).eval()


def opt_in(report: bnlint.Report) -> set[str]:
    return {item.code for item in report.not_run if item.opt_in}


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        ({}, False),
        ({"inputs": "4x3x16x16"}, False),
        ({"inputs": IMAGES}, False),
        ({"inputs": IMAGES, "run": None}, False),
        ({"inputs": IMAGES, "run": False}, False),
        ({"inputs": IMAGES, "run": True}, True),
        ({"inputs": "4x3x16x16", "run": True}, True),
        ({"run": True}, True),
    ],
)
def test_a_copy_is_run_where_the_user_says_so_and_nowhere_else(arguments: dict[str, Any], runs: bool) -> None:
    report = bnlint.check(model(), **arguments)
    assert ({"BN110", "BN111"} <= set(report.passed)) == runs
    assert ("BN110" in opt_in(report)) != runs
    assert {"BN402", "BN510"} <= opt_in(report)
    assert report.unanalysed == ()


class Mixes(ConvNet):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(0, keepdim=True))


TRACE = (False, False)
IN_EVAL, IN_TRAINING = (False, True), (True, True)


@pytest.mark.parametrize(
    ("kind", "arguments", "calls"),
    [
        (ConvNet, {"context": "inference"}, [TRACE]),
        (ConvNet, {"context": "training", "batch_size": 8}, [TRACE]),
        (ConvNet, {"run": False}, [TRACE]),
        (ConvNet, {"run": True}, [TRACE, *[IN_EVAL] * 4, IN_TRAINING]),
        (Mixes, {"run": True}, [TRACE, *[IN_EVAL] * 6, IN_TRAINING]),
    ],
)
def test_an_input_with_values_costs_one_trace_and_a_run_what_its_page_says(
    kind: type[ConvNet], arguments: dict[str, Any], calls: list[tuple[bool, bool]]
) -> None:
    with forwards_of(ConvNet) as forwards:
        bnlint.check(with_plausible_statistics(kind()).eval(), inputs=(IMAGES,), **arguments)
    assert forwards == calls


def test_values_are_used_where_the_code_of_the_model_asks_for_them() -> None:
    class Reads(ConvNet):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) if images.max().item() == 7 else images

    report = bnlint.check(
        with_plausible_statistics(Reads()).eval(), inputs=IMAGES.clamp(max=1).index_fill(0, torch.tensor(0), 7)
    )
    assert (report.coverage.graph, report.coverage.calls) == ("recorded_with_values", 2)


def test_what_a_run_adds_is_one_remedy() -> None:
    remedies = {item.remedy for item in bnlint.check(model(), inputs=IMAGES).not_run if item.code in ("BN110", "BN111")}
    assert remedies == {"give `--run`, or `run=True` in Python"}


def test_a_run_that_was_asked_for_and_fails_is_said_and_not_called_clean() -> None:
    breaks = with_plausible_statistics(Breaks()).eval()
    Breaks.runs = iter(range(1))
    asked = bnlint.check(breaks, inputs="4x3x16x16", run=True, data=[IMAGES] * 2)
    assert asked.exit_code == 3
    assert any("out of luck" in sentence for sentence in asked.unanalysed)
    assert not {"BN110", "BN111", "BN510"} & set(asked.passed)
    assert not {"BN110", "BN111", "BN510"} & opt_in(asked)


def test_weights_alone_and_meta_weights_cannot_run(tmp_path: Path) -> None:
    torch.save(model().state_dict(), tmp_path / "weights.pt")
    report = bnlint.check(tmp_path / "weights.pt", run=True, data=[IMAGES])
    assert report.exit_code == 3
    assert not opt_in(report)
    with torch.device("meta"):
        empty = ConvNet()
    assert any("no values" in sentence for sentence in bnlint.check(empty, run=True).unanalysed)


def test_too_little_data_is_said() -> None:
    report = bnlint.check(model(), data=[IMAGES])
    assert "4 samples of data are too few" in report.unanalysed[0]
    assert "BN510" not in report.passed


def test_padding_runs_by_itself_and_must_fit() -> None:
    net = nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)).eval()
    report = bnlint.check(net, inputs="2x3x12", padding="2", select="BN402")
    assert [finding.layers for finding in report.findings] == [("1",)]
    with pytest.raises(UsageError, match="axis 5"):
        bnlint.check(net, inputs="2x3x12", padding="5")
    with pytest.raises(UsageError, match="data batches"):
        bnlint.check(net, data=[IMAGES], data_batches=0)


def test_one_fault_is_one_finding() -> None:
    left = model()
    left.bn1.train()
    codes = {finding.code for finding in bnlint.check(left, inputs=IMAGES, run=True, fail_on="never").findings}
    assert "BN102" in codes
    assert not codes & {"BN110", "BN111", "BN106"}


def test_a_frozen_class_is_asked_of_a_copy_without_a_run() -> None:
    class Stuck(ConvNet):
        def train(self, mode: bool = True) -> Stuck:
            return super().train(True)

    report = bnlint.check(with_plausible_statistics(Stuck()), inputs="4x3x16x16", select="BN106")
    assert report.findings[0].layers == ("bn1", "bn2")
    assert "Stuck" in report.findings[0].message


def test_a_training_step_is_made_only_when_the_user_asks() -> None:
    padded = bnlint.inspect(model(), inputs=IMAGES, padding="3")
    asked = bnlint.inspect(model(), inputs=IMAGES, run=True)
    assert {facts.updates_per_forward for facts in padded.norms} == {UNKNOWN}
    assert [facts.updates_per_forward for facts in asked.norms] == [1, 1]
    assert [facts.statistics_move_in_eval for facts in padded.norms] == [False, False]
