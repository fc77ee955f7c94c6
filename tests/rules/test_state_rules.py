"""The rules on module tree, statistics and training set-up, through each front end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bnlint
from bnlint.report import Report
from bnlint.ruleset import find_rule, load_rules
from bnlint.tracing.inputs import as_inputs

RULES = load_rules()
FOUND, PASSED, NOT_RUN = "found", "passed", "not run"

ON_WEIGHTS = {
    "BN107": NOT_RUN, "BN109": NOT_RUN, "BN303": NOT_RUN, "BN304": NOT_RUN, "BN305": NOT_RUN, "BN504": NOT_RUN,
    "BN505": NOT_RUN, "BN506": NOT_RUN, "BN507": FOUND, "BN508": NOT_RUN, "BN509": NOT_RUN, "BN511": NOT_RUN,
    "BN603": FOUND, "BN604": NOT_RUN, "BN605": NOT_RUN,
}  # fmt: skip
"""What can be said of the first bad example from its weights alone."""

OF_NUMBERS = ("BN504", "BN507", "BN508", "BN603")
"""The codes whose facts an exported program holds as well."""


def first_bad(code: str) -> tuple[nn.Module, dict[str, Any]]:
    example = find_rule(RULES, code).examples.bad[0]
    names: dict[str, Any] = {"torch": torch, "nn": nn, "__name__": "example"}
    torch.manual_seed(0)
    exec(example.code, names)
    return names["model"], example.arguments


def verdict(report: Report, code: str) -> str:
    if report.findings:
        assert [finding.code for finding in report.findings] == [code]
        return FOUND
    return NOT_RUN if report.not_run else PASSED


@pytest.mark.parametrize("code", ON_WEIGHTS)
def test_found_in_a_whole_saved_model(code: str, tmp_path: Path) -> None:
    model, declared = first_bad(code)
    torch.save(model, tmp_path / "model.pt")
    assert verdict(bnlint.check(tmp_path / "model.pt", trust=True, **declared, select=code), code) == FOUND


@pytest.mark.parametrize("code", ON_WEIGHTS)
def test_on_weights_alone(code: str, tmp_path: Path) -> None:
    model, declared = first_bad(code)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    report = bnlint.check(tmp_path / "weights.pt", **declared | {"inputs": None}, select=code)
    assert verdict(report, code) == ON_WEIGHTS[code]
    for item in report.not_run:
        assert "a whole saved model" in item.remedy


@pytest.mark.parametrize("code", OF_NUMBERS)
def test_found_in_an_exported_program(code: str) -> None:
    model, declared = first_bad(code)
    inputs = tuple(torch.randn_like(x, device="cpu") for x in as_inputs(declared["inputs"]).args)
    program = torch.export.export(model, inputs)
    assert verdict(bnlint.check(program, **declared | {"inputs": None}, select=code), code) == FOUND


def two_layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))


def without_buffers(name: str) -> bool:
    return "running" not in name and "tracked" not in name


def without_all(name: str) -> bool:
    return False


@pytest.mark.parametrize(("kept", "expected"), [(without_buffers, FOUND), (without_all, NOT_RUN)])
def test_half_loaded_weights(kept: Callable[[str], bool], expected: str, tmp_path: Path) -> None:
    """A scale that has learned belongs to a layer that is called; without one it may be a layer that never is."""
    trained, half = two_layers(), two_layers()
    trained(torch.randn(16, 4)).square().sum().backward()
    torch.optim.SGD(trained.parameters(), lr=0.1).step()
    half.load_state_dict(
        {name: value for name, value in trained.state_dict().items() if name[0] != "3" or kept(name)}, strict=False
    )
    torch.save(half.state_dict(), tmp_path / "half.pt")
    assert verdict(bnlint.check(tmp_path / "half.pt", select="BN508"), "BN508") == expected
    assert verdict(bnlint.check(half.eval(), inputs=("2x4",), select="BN508"), "BN508") == FOUND


def test_fresh_and_half_loaded_are_never_found_together() -> None:
    for trained in (0, 1, 2):
        model = two_layers()
        for layer in [model[1], model[3]][:trained]:
            layer(torch.randn(16, 4))
        report = bnlint.check(model.eval(), inputs=("2x4",), select=("BN501", "BN508"))
        assert [finding.code for finding in report.findings] == [["BN501"], ["BN508"], []][trained]


def test_one_small_batch_is_one_finding_however_many_devices() -> None:
    for devices, code in ((1, "BN301"), (8, "BN304")):
        report = bnlint.check(
            two_layers(), inputs=("2x4",), context="training", batch_size=4, devices=devices, select="BN3"
        )
        assert [finding.code for finding in report.findings] == [code]


def test_a_model_in_eval_mode_is_one_finding_frozen_or_not() -> None:
    model = two_layers().eval()
    codes = ("BN107", "BN109")
    report = bnlint.check(model, inputs=("2x4",), context="training", select=codes)
    assert [(finding.code, finding.layers) for finding in report.findings] == [("BN109", ("1", "3"))]
    model[1].requires_grad_(False)
    report = bnlint.check(model, inputs=("2x4",), context="training", select=codes)
    assert [(finding.code, finding.layers) for finding in report.findings] == [("BN109", ("3",))]
    report = bnlint.check(model.train(), inputs=("2x4",), context="training", select=codes)
    assert [(finding.code, finding.layers) for finding in report.findings] == [("BN107", ("1",))]
