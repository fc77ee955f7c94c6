from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.ruleset.conditions import Comparison, Condition, Every, Negation, Some, Verdict
from tests.ruleset.strategies import blurred, comparisons, conditions, records, some_facts


def facts(**values: Any) -> NormFacts:
    return NormFacts(layer="bn", kind="batch_norm", **values)


TRUE, FALSE = Comparison("kind", "equals", "batch_norm"), Comparison("kind", "equals", "layer_norm")
UNSURE, ALSO_UNSURE = Comparison("training", "equals", True), Comparison("eps", "less_than", 1)


@given(records(), conditions(), some_facts())
def test_a_fact_that_becomes_unknown_never_changes_a_verdict_to_the_opposite(
    record: NormFacts, condition: Condition, hidden: frozenset[str]
) -> None:
    known = condition.judge(record).truth
    assert condition.judge(blurred(record, hidden)).truth in (known, UNKNOWN)


@given(records(), conditions(), some_facts())
def test_the_facts_that_are_named_as_missing_are_unknown_and_would_decide(
    record: NormFacts, condition: Condition, hidden: frozenset[str]
) -> None:
    verdict = condition.judge(blurred(record, hidden))
    assert (verdict.truth is UNKNOWN) == bool(verdict.undecided)
    assert set(verdict.undecided) <= hidden
    supplied = condition.judge(blurred(record, hidden - set(verdict.undecided)))
    assert supplied.truth is condition.judge(record).truth


@given(records(), conditions())
def test_what_is_known_is_always_decided(record: NormFacts, condition: Condition) -> None:
    assert condition.judge(record).truth is not UNKNOWN


@given(records(), conditions(), some_facts())
def test_not_not_is_the_condition(record: NormFacts, condition: Condition, hidden: frozenset[str]) -> None:
    record = blurred(record, hidden)
    assert Negation(Negation(condition)).judge(record) == condition.judge(record)


@given(records(), conditions(), conditions(), some_facts())
def test_de_morgan(record: NormFacts, left: Condition, right: Condition, hidden: frozenset[str]) -> None:
    record = blurred(record, hidden)
    neither = Every((Negation(left), Negation(right)))
    assert Negation(Some((left, right))).judge(record) == neither.judge(record)


@given(records(), conditions(), conditions(), some_facts())
def test_the_order_of_the_parts_does_not_matter(
    record: NormFacts, left: Condition, right: Condition, hidden: frozenset[str]
) -> None:
    record = blurred(record, hidden)
    for connective in (Every, Some):
        one, other = connective((left, right)).judge(record), connective((right, left)).judge(record)
        assert one.truth is other.truth
        assert set(one.undecided) == set(other.undecided)


@given(records(), comparisons())
def test_a_condition_names_the_facts_that_it_reads(record: NormFacts, comparison: Condition) -> None:
    assert comparison.judge(blurred(record, frozenset(comparison.facts))).undecided == comparison.facts


@pytest.mark.parametrize(
    ("fact", "value", "operator", "operand", "expected"),
    [
        ("values_per_channel", 784, "less_than", 784, False),
        ("values_per_channel", 783, "less_than", 784, True),
        ("values_per_channel", 784, "at_most", 784, True),
        ("values_per_channel", 784, "more_than", 784, False),
        ("values_per_channel", 784, "at_least", 784, True),
        ("values_per_channel", 784, "in", frozenset({1, 784}), True),
        ("values_per_channel", 784, "not_in", frozenset({1, 784}), False),
        ("fed_by", frozenset({"linear", "addition"}), "has", frozenset({"activation", "linear"}), True),
        ("fed_by", frozenset({"linear", "addition"}), "lacks", frozenset({"activation", "linear"}), False),
        ("fed_by", frozenset({"linear"}), "only", frozenset({"activation", "linear"}), True),
        ("fed_by", frozenset({"linear", "addition"}), "only", frozenset({"linear"}), False),
        ("fed_by", frozenset(), "only", frozenset({"linear"}), False),
        ("fed_by", frozenset(), "has", frozenset({"linear"}), False),
        ("fed_by", frozenset(), "empty", True, True),
        ("fed_by", frozenset({"linear"}), "empty", True, False),
        ("fed_by", frozenset({"linear"}), "empty", False, True),
    ],
)
def test_operators(fact: str, value: Any, operator: str, operand: Any, expected: bool) -> None:
    assert Comparison(fact, operator, operand).judge(facts(**{fact: value})) == Verdict(expected)


@pytest.mark.parametrize("operator", ["less_than", "at_most", "more_than", "at_least"])
def test_a_fact_that_does_not_apply_makes_every_ordering_false(operator: str) -> None:
    assert Comparison("momentum", operator, 0).judge(facts(momentum=None)) == Verdict(False)


def test_a_fact_that_does_not_apply_is_in_no_list_and_outside_none() -> None:
    for operator in ("in", "not_in"):
        assert Comparison("dtype", operator, frozenset({"float16"})).judge(facts(dtype=None)) == Verdict(False)


def test_null_equals_only_what_does_not_apply() -> None:
    null = Comparison("batches_counted", "equals", None)
    assert null.judge(facts(batches_counted=None)) == Verdict(True)
    assert null.judge(facts(batches_counted=0)) == Verdict(False)
    assert null.judge(facts()) == Verdict(UNKNOWN, ("batches_counted",))


def test_only_the_unknown_facts_that_decide_are_named() -> None:
    record = facts()
    assert Every((UNSURE, FALSE)).judge(record) == Verdict(False)
    assert Some((UNSURE, TRUE)).judge(record) == Verdict(True)
    decided_elsewhere = Some((Every((UNSURE, FALSE)), ALSO_UNSURE))
    assert decided_elsewhere.judge(record) == Verdict(UNKNOWN, ("eps",))
    assert Every((UNSURE, TRUE, ALSO_UNSURE)).judge(record) == Verdict(UNKNOWN, ("training", "eps"))
