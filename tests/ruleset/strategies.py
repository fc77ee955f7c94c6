"""Random facts, random conditions, and facts that have become unknown."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st

from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.ruleset.conditions import Comparison, Condition, Every, Negation, Some

NAMES = ("activation", "convolution", "linear")
name_sets = st.frozensets(st.sampled_from(NAMES))
VALUES = {
    "training": st.booleans(),
    "uses_batch_statistics": st.booleans(),
    "batches_counted": st.none() | st.integers(0, 3),
    "momentum": st.none() | st.floats(0, 1),
    "class_name": st.sampled_from(["BatchNorm2d", "SyncBatchNorm"]),
    "fed_by": name_sets,
}
FACTS = tuple(VALUES)


def records() -> st.SearchStrategy[NormFacts]:
    """Records of which every fact in `FACTS` is known."""
    return st.builds(NormFacts, layer=st.just("bn"), kind=st.just("batch_norm"), **VALUES)


def blurred(record: NormFacts, facts: frozenset[str]) -> NormFacts:
    """The same record with some facts unknown."""
    return dataclasses.replace(record, **dict.fromkeys(facts, UNKNOWN))


def some_facts() -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(FACTS))


def comparisons() -> st.SearchStrategy[Condition]:
    number = st.integers(0, 3)
    ordering = st.sampled_from(["less_than", "at_most", "more_than", "at_least", "equals"])
    return st.one_of(
        st.builds(Comparison, st.sampled_from(["training", "uses_batch_statistics"]), st.just("equals"), st.booleans()),
        st.builds(Comparison, st.sampled_from(["batches_counted", "momentum"]), ordering, number),
        st.builds(Comparison, st.just("batches_counted"), st.sampled_from(["in", "not_in"]), st.frozensets(number)),
        st.builds(Comparison, st.sampled_from(["momentum", "batches_counted"]), st.just("equals"), st.none()),
        st.builds(Comparison, st.just("class_name"), st.just("equals"), VALUES["class_name"]),
        st.builds(Comparison, st.just("fed_by"), st.sampled_from(["has", "lacks", "only"]), name_sets),
        st.builds(Comparison, st.just("fed_by"), st.just("empty"), st.booleans()),
    )


def conditions() -> st.SearchStrategy[Condition]:
    def nest(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return st.one_of(st.builds(Every, parts), st.builds(Some, parts), st.builds(Negation, inner))

    return st.recursive(comparisons(), nest, max_leaves=8)
