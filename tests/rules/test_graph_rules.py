"""The rules that need a graph, through the front ends that have one and those that have none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import bnlint
from bnlint.ruleset import Example, Rule, load_rules
from bnlint.tracing.inputs import as_inputs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

CODES = ("BN103", "BN105", "BN108", "BN202", "BN203", "BN204", "BN205", "BN206", "BN207", "BN208")

CASES = [
    pytest.param(rule, example, id=f"{rule.code}-{example.title}")
    for rule in load_rules()
    if rule.code in CODES
    for example in rule.examples.bad
]


def model_of(example: Example) -> nn.Module:
    names = {"torch": torch, "nn": nn, "F": F, "__name__": "example"}
    torch.manual_seed(0)
    exec(example.code, names)
    model = names["model"]
    if not isinstance(model, nn.Module):
        pytest.skip("an exported program already")
    return model


@pytest.mark.parametrize(("rule", "example"), CASES)
def test_found_in_an_exported_program(rule: Rule, example: Example) -> None:
    model = model_of(example)
    if rule.code == "BN105" or "list" in example.title:
        pytest.skip("a program has no module tree")
    inputs = tuple(torch.randn_like(x, device="cpu") for x in as_inputs(example.inputs).args)
    report = bnlint.check(torch.export.export(model, inputs), context=example.context, select=[rule.code])
    assert [finding.code for finding in report.findings] == [rule.code], report.not_run


@pytest.mark.parametrize(("rule", "example"), CASES)
def test_not_run_on_weights_alone(rule: Rule, example: Example, tmp_path: Path) -> None:
    weights = model_of(example).state_dict()
    if rule.code != "BN108" and not any(name.endswith("running_mean") for name in weights):
        pytest.skip("no layer by its names")
    torch.save(weights, tmp_path / "weights.pt")
    report = bnlint.check(tmp_path / "weights.pt", context=example.context, select=[rule.code])
    assert not report.findings
    assert [item.code for item in report.not_run] == [rule.code]
    assert "a whole saved model" in report.not_run[0].remedy
