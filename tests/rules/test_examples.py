from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import bnlint
from bnlint.errors import UsageError
from bnlint.report import Report
from bnlint.ruleset import Example, Rule, load_rules

RULES = load_rules()


def cases(group: str) -> list[object]:
    return [
        pytest.param(rule, example, id=f"{rule.code}-{example.title}")
        for rule in RULES
        for example in getattr(rule.examples, group)
    ]


def report_on(rule: Rule, example: Example) -> Report:
    names = {"torch": torch, "nn": nn, "F": F, "__name__": "example"}
    torch.manual_seed(0)
    exec(example.code, names)
    data = eval(example.data, names) if example.data else None
    return bnlint.check(names["model"], **example.arguments, data=data, select=[rule.code])


@pytest.mark.parametrize(("rule", "example"), cases("bad"))
def test_a_bad_example_is_found_on_exactly_its_layers(rule: Rule, example: Example) -> None:
    report = report_on(rule, example)
    assert [finding.code for finding in report.findings] == [rule.code], report.not_run
    assert report.findings[0].layers == example.layers


@pytest.mark.parametrize(("rule", "example"), cases("good"))
def test_a_good_example_is_looked_at_and_passes(rule: Rule, example: Example) -> None:
    if example.context not in rule.contexts:
        with pytest.raises(UsageError, match=f"No rule is left to run for {example.context}: {rule.code} is for"):
            report_on(rule, example)
        return
    report = report_on(rule, example)
    assert not report.findings
    assert not report.not_run
    assert report.passed == (rule.code,)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_has_two_bad_and_two_good_examples(rule: Rule) -> None:
    assert len(rule.examples.bad) >= 2
    assert len(rule.examples.good) >= 2
