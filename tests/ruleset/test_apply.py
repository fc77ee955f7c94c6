from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.vocabulary import Need
from bnlint.report import Context, Location
from bnlint.ruleset import Outcome, apply_rules, find_rule, load_rules
from tests.ruleset.strategies import blurred, some_facts
from tests.ruleset.writing import rule_with

MODEL = ModelFacts(
    form="module", norm_layers=2, batch_norm_layers=2, graph="recorded", can_be_traced=True, norm_calls=2
)
KNOWN = frozenset(Need)
DEAD = {
    "statistics_at_initial_values": True,
    "others_with_statistics": 0,
    "batches_counted": 0,
    "has_batch_counter": True,
    "affine_at_initial_values": True,
    "learns_statistics": True,
}


def norm(layer: str, **facts: Any) -> NormFacts:
    return NormFacts(layer=layer, kind=facts.pop("kind", "batch_norm"), **facts)


def table(*norms: NormFacts, available: frozenset[Need] = KNOWN) -> FactTable:
    return FactTable(MODEL, norms, available)


def apply(code: str, facts: FactTable, context: Context = Context.INFERENCE) -> Outcome:
    return apply_rules([find_rule(load_rules(), code)], facts, context)


def dead(layer: str, **facts: Any) -> NormFacts:
    return norm(layer, **DEAD | facts)


def test_true_is_a_finding_on_all_layers_in_their_order() -> None:
    place = Location("net.py", 7)
    outcome = apply("BN501", table(dead("b", location=place), dead("a"), dead("c", statistics_at_initial_values=False)))
    (finding,) = outcome.findings
    assert finding.layers == ("b", "a")
    assert finding.message.startswith("2 layers ")
    assert finding.locations == (place,)
    assert finding.evidence[0].facts == DEAD
    assert list(finding.evidence[0].facts) == list(DEAD)
    assert not outcome.not_run
    assert not outcome.passed


def test_a_layer_that_is_called_twice_is_named_once_with_both_calls_as_evidence() -> None:
    facts = {"fed_by": frozenset({"activation"}), "feeds": frozenset(), "identity_branch": False}
    (finding,) = apply("BN201", table(norm("bn", **facts), norm("bn", **facts))).findings
    assert finding.layers == ("bn",)
    assert len(finding.evidence) == 2
    assert finding.evidence[0].facts["fed_by"] == ["activation"]


def test_false_is_passed() -> None:
    assert apply("BN501", table(dead("a", statistics_at_initial_values=False))) == Outcome((), (), ("BN501",))


def test_unknown_is_neither_and_names_what_is_missing_and_what_supplies_it() -> None:
    facts = table(norm("a", synchronised=False, devices=1), available=frozenset({Need.GRAPH, Need.MODULE}))
    outcome = apply("BN301", facts, Context.TRAINING)
    assert not outcome.findings
    assert not outcome.passed
    (missing,) = outcome.not_run
    assert missing.layers == ("a",)
    assert missing.missing == ("learns_statistics", "batch_size", "values_per_channel")
    assert missing.remedy == Need.BATCH_SIZE.value


def test_what_takes_a_run_of_the_models_code_is_told_from_what_the_user_forgot() -> None:
    moving = {"training_after_eval": False, "ignores_eval": False}
    (opt_in,) = apply("BN111", table(norm("a", **moving), available=KNOWN - {Need.RUN})).not_run
    assert opt_in.opt_in
    assert opt_in.remedy == "give `--run`, or `run=True` in Python"
    (undetermined,) = apply("BN111", table(norm("a", **moving))).not_run
    assert not undetermined.opt_in
    (weights_alone,) = apply("BN111", table(norm("a"), available=frozenset({Need.STATE}))).not_run
    assert not weights_alone.opt_in
    assert weights_alone.remedy == Need.MODE.value  # whoever gives a model with its mode gives all of it


def test_a_fact_that_stays_unknown_with_everything_at_hand() -> None:
    (missing,) = apply("BN501", table(norm("a"))).not_run
    assert missing.remedy.startswith("bnlint could not determine `statistics_at_initial_values`")


def test_layers_that_lack_different_facts_are_told_apart() -> None:
    facts = table(dead("a", statistics_at_initial_values=False), norm("b"), dead("c"))
    assert [item.layers for item in apply("BN501", facts).not_run] == [("b",)]
    facts = table(norm("b"), norm("c", statistics_at_initial_values=True), norm("d"))
    assert [(item.layers, item.missing) for item in apply("BN501", facts).not_run] == [
        (("b", "d"), tuple(DEAD)),
        (("c",), tuple(DEAD)[1:]),
    ]


def test_another_context_leaves_the_rule_out() -> None:
    assert apply("BN501", table(dead("a")), Context.TRAINING) == Outcome((), (), ())


def test_a_declared_training_batch_brings_in_the_rules_on_it() -> None:
    facts = {"learns_statistics": True, "synchronised": False, "batch_size": 2, "values_per_channel": 1}
    declared, undeclared = table(norm("a", **facts)), table(norm("a", **facts), available=KNOWN - {Need.BATCH_SIZE})
    assert [finding.code for finding in apply("BN302", declared).findings] == ["BN302"]
    assert apply("BN302", undeclared) == Outcome((), (), ())


def test_a_finding_on_the_model_has_no_layers() -> None:
    model = ModelFacts(
        form="module", norm_layers=1, batch_norm_layers=1, graph="none", graph_reason="it raised", can_be_traced=True
    )
    (finding,) = apply("BN001", FactTable(model, (norm("a"),))).findings
    assert finding.layers == ()
    assert finding.message == "There is no graph of this model: it raised"
    assert finding.evidence[0].layer == ""
    assert finding.evidence[0].facts == {"can_be_traced": True, "graph": "none", "graph_reason": "it raised"}


def test_findings_are_sorted_by_severity_then_code() -> None:
    facts = table(
        dead(
            "a",
            fed_by=frozenset({"activation"}),
            feeds=frozenset(),
            identity_branch=False,
            negative_variances=1,
            channels=4,
            nonfinite_tensors=frozenset({"weight"}),
        )
    )
    codes = [finding.code for finding in apply_rules(load_rules(), facts, Context.INFERENCE).findings]
    assert codes == ["BN501", "BN502", "BN503", "BN201"]


def test_a_rule_of_a_user(tmp_path: Path) -> None:
    rule = rule_with(tmp_path, options={"default": 0.3})
    outcome = apply_rules([rule], table(norm("a", momentum=0.5), norm("b", momentum=0.1)), Context.TRAINING)
    (finding,) = outcome.findings
    assert (finding.code, finding.layers, finding.message) == ("ACME001", ("a",), "1 layer with momentum 0.5.")


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 2), some_facts()), min_size=1, max_size=3),
)
def test_what_is_unknown_is_never_clean(layers: list[tuple[bool, int, frozenset[str]]]) -> None:
    full = [
        dead(str(index), statistics_at_initial_values=initial, batches_counted=counted)
        for index, (initial, counted, _) in enumerate(layers)
    ]
    hidden = [blurred(record, facts) for record, (_, _, facts) in zip(full, layers, strict=True)]
    before, after = apply("BN501", table(*full)), apply("BN501", table(*hidden))
    if after.passed:
        assert before.passed
    found = {layer for finding in before.findings for layer in finding.layers}
    accounted = {layer for item in (*after.findings, *after.not_run) for layer in item.layers}
    assert found <= accounted
