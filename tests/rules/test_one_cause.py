"""One cause is one finding: the rules about mode leave each other's models alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import bnlint
from bnlint.ruleset import Example, Rule, load_rules

MODE = ("BN101", "BN102", "BN103", "BN104", "BN105")

CASES = [
    pytest.param(rule, example, id=f"{rule.code}-{example.title}")
    for rule in load_rules()
    if rule.code in MODE
    for example in rule.examples.bad
]


@pytest.mark.parametrize(("rule", "example"), CASES)
def test_a_wrong_mode_has_one_name(rule: Rule, example: Example) -> None:
    names = {"torch": torch, "nn": nn, "F": F, "__name__": "example"}
    exec(example.code, names)
    report = bnlint.check(names["model"], inputs=example.inputs or None, context=example.context, select=MODE)
    assert [finding.code for finding in report.findings] == [rule.code]
