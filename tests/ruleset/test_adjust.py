from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bnlint.errors import UsageError
from bnlint.facts.records import NormFacts
from bnlint.report import Severity
from bnlint.ruleset import Adjusted, Rule, adjust, find_rule
from bnlint.ruleset.conditions import Comparison, Every, Negation, Some
from bnlint.ruleset.settings import arguments
from tests.ruleset.writing import rule_with


@pytest.fixture
def rules(tmp_path: Path) -> tuple[Rule, ...]:
    """ACME001 has the option `default`, ACME002 and OTHER001 have none."""
    without = {"options": {}, "when": {"kind": "batch_norm"}, "message": "{count:layer}."}
    return (
        rule_with(tmp_path),
        rule_with(tmp_path, code="ACME002", name="second-of-acme", **without),
        rule_with(tmp_path, code="OTHER001", name="first-of-others", **without),
    )


def after(rules: tuple[Rule, ...], *layers: dict[str, Any]) -> Adjusted:
    return adjust(rules, map(arguments, layers))


def chosen(rules: tuple[Rule, ...], *layers: dict[str, Any]) -> list[str]:
    return [rule.code for rule in after(rules, *layers).to_run]


def test_without_settings_every_rule_runs_as_it_is(rules: tuple[Rule, ...]) -> None:
    assert after(rules).to_run == rules
    assert after(rules, {}).rules == rules


def test_ignore_wins_over_select_in_one_layer(rules: tuple[Rule, ...]) -> None:
    assert chosen(rules, {"select": ["ACME"]}) == ["ACME001", "ACME002"]
    assert chosen(rules, {"select": ["ACME"], "ignore": ["second-of-acme"]}) == ["ACME001"]
    assert chosen(rules, {"select": ["ACME001"], "ignore": ["ACME"]}) == []
    assert chosen(rules, {"ignore": ["ACME"]}) == ["OTHER001"]


def test_a_later_select_starts_afresh_and_a_later_ignore_takes_away(rules: tuple[Rule, ...]) -> None:
    first = {"select": ["ACME"], "ignore": ["ACME002"]}
    assert chosen(rules, first, {"ignore": ["OTHER001"]}) == ["ACME001"]
    assert chosen(rules, first, {"select": ["ACME002"]}) == ["ACME002"]


def test_the_longest_word_gives_the_severity(rules: tuple[Rule, ...]) -> None:
    layer = {"severity": {"ACME002": "error", "second-of-acme": "info", "ACME": "error", "A": "warning"}}
    assert [rule.severity for rule in after(rules, layer).rules] == [Severity.ERROR, Severity.INFO, Severity.WARNING]


def test_a_later_layer_gives_the_severity(rules: tuple[Rule, ...]) -> None:
    layers = ({"severity": {"ACME001": "error"}}, {"severity": {"ACME": "info"}})
    assert after(rules, *layers).rules[0].severity is Severity.INFO


def momentum(value: float) -> NormFacts:
    return NormFacts(layer="norm", kind="batch_norm", momentum=value)


def test_an_option_reaches_the_condition_the_message_and_the_rule(rules: tuple[Rule, ...]) -> None:
    assert rules[0].when.judge(momentum(0.3)).truth is True
    rule = after(rules, {"options": {"ACME001": {"default": 0.5}}}).rules[0]
    assert rule.when.judge(momentum(0.3)).truth is False
    assert rule.when.judge(momentum(0.5)).truth is True
    assert rule.options == {"default": 0.5}
    assert rule.message.options == {"default": 0.5}
    assert rules[0].options == {"default": 0.1}


def test_an_option_is_found_however_deep(tmp_path: Path) -> None:
    when = {"any": [{"not": {"momentum": {"at_least": "$default"}}}, {"eps": 1e-5, "channels": {"less_than": 4}}]}
    (rule,) = after((rule_with(tmp_path, when=when),), {"options": {"momentum-left-at-default": {"default": 2}}}).rules
    assert rule.when == Some((
        Negation(Comparison("momentum", "at_least", 2, "default")),
        Every((Comparison("eps", "equals", 1e-5), Comparison("channels", "less_than", 4))),
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"select": ["ACM001"]}, 'There is no rule "ACM001"; did you mean "ACME001"?'),
        ({"ignore": ["qqqqq"]}, 'There is no rule "qqqqq"; `bnlint rules` lists them.'),
        ({"severity": {"ACM001": "error"}}, 'There is no rule "ACM001"; did you mean "ACME001"?'),
        ({"options": {"ACME": {"default": 1}}}, 'There is no rule "ACME";'),
        (
            {"options": {"ACME001": {"defualt": 1}}},
            'The rule ACME001 has no option "defualt"; did you mean "default"?',
        ),
        ({"options": {"ACME001": {"zzz": 1}}}, 'The rule ACME001 has no option "zzz"; it has default.'),
        ({"options": {"ACME002": {"default": 1}}}, "The rule ACME002 has no options."),
        (
            {"options": {"ACME001": {"default": float("nan")}}},
            'The option "default" of ACME001 must be a finite number, not nan.',
        ),
    ],
)
def test_what_does_not_exist_gets_the_nearest_right_name(
    rules: tuple[Rule, ...], layer: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        after(rules, layer)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"severity": {"BN201": "warnin"}}, 'Unknown value "warnin" of "BN201"; did you mean "warning"?'),
        ({"severity": {"BN101": "info", "BN201": 3}}, '"BN201" must be a text, not a whole number.'),
        ({"options": {"BN301": {"minimum_values": "many"}}}, '"minimum_values" must be a number, not a text.'),
        ({"options": {"BN301": {"minimum_values": True}}}, '"minimum_values" must be a number, not true or false.'),
        ({"context": "trainin"}, 'Unknown value "trainin" of "context"; did you mean "training"?'),
        ({"fail_on": "neve"}, 'Unknown value "neve" of "fail_on"; did you mean "never"?'),
        ({"select": [""]}, 'An item of "select" must not be empty.'),
    ],
)
def test_a_wrong_value_of_an_argument(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        arguments(values)
    assert str(caught.value) == message


def test_the_given_rules_stay_as_they_are(rules: tuple[Rule, ...]) -> None:
    after(rules, {"severity": {"ACME": "error"}, "options": {"ACME001": {"default": 0.5}}})
    assert find_rule(rules, "ACME001").severity is Severity.WARNING
    assert rules[0].when == Every((
        Comparison("kind", "equals", "batch_norm"), Comparison("momentum", "at_least", 0.1, "default")
    ))  # fmt: skip
