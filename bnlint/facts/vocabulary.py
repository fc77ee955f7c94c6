"""The vocabulary of facts: each fact's documentation and what it takes to know it."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_origin, get_type_hints


class Need(enum.Enum):
    """A source of facts; the value says how a user supplies it."""

    MODULE = "give the whole model (a saved model, or an import string), not only its weights"
    MODE = (
        "give a model whose mode was set by its owner: a whole saved model, or the function that your service loads it"
        " with"
    )
    CODE = (
        "give `--allow PACKAGE` for the package of the model's classes, or `--trust`, if the file is from someone you"
        " trust: that code then runs, and the model can be traced"
    )
    STATE = "give weights: a saved model, or `--weights FILE`"
    GRAPH = "give an input that the model accepts, such as `--input 1x3x224x224`"
    BATCH_SIZE = "give `--batch-size N`, the training batch on each device"
    DATASET_SIZE = "give `--dataset-size N`, the samples in one epoch, or `--drop-last`"
    ACCUMULATE = "give `--accumulate N`, the batches in one step of the optimiser"
    RUN = "give `--run`, or `run=True` in Python"
    PADDING = "give `--padding AXIS`, the axis along which inputs are padded"
    DATA = "give `--data FILE`, real inputs"


OPT_IN = frozenset({Need.RUN, Need.PADDING, Need.DATA})
"""Sources that take a run of the model's code, which bnlint does not do unasked; reports mention them in one line."""


class Ordinary(enum.Enum):
    """What is ordinary of a fact where no value is so by itself; `bnlint inspect` shows first what is not."""

    COMMON = "the value that nine in ten layers of the same kind share, where there is one"
    ANY = "any value: layers differ in it by design"


@dataclass(frozen=True)
class Fact:
    """Documentation of one fact; written beside its type with `Annotated`.

    Attributes:
        doc: One sentence: the meaning, the unit, where it comes from.
        family: The heading under which `bnlint facts` shows it.
        needs: What must be at hand to know it, all of them.
        values: The names that the fact can take or hold; empty where any value is possible.
        ordinary: The values that call for no attention, whatever other layers have: `(False,)`; or what is ordinary
            instead.
        ordinary_of: The kinds of normalisation that these values are ordinary of; for others it is the common value.
            Empty for all kinds.
    """

    doc: str
    family: str
    needs: tuple[Need, ...] = ()
    values: tuple[str, ...] = ()
    ordinary: Ordinary | tuple[object, ...] = Ordinary.COMMON
    ordinary_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class FactEntry:
    """One entry of the vocabulary.

    Attributes:
        name: Name of the fact, as rules write it.
        type: The Python type of the value, with the unknown value where it can be unknown.
        fact: Its documentation.
    """

    name: str
    type: Any
    fact: Fact

    def of(self, record: object) -> Any:
        """The value of the fact in a record."""
        return getattr(record, self.name)


def vocabulary(record: type) -> dict[str, FactEntry]:
    """The facts of a record class by name, in the order of their definition.

    Args:
        record: `NormFacts` or `ModelFacts`.

    Returns:
        An entry for each field that carries a `Fact`; other fields are not facts and rules cannot read them.
    """
    return _vocabulary(record)


@cache
def _vocabulary(record: type) -> dict[str, FactEntry]:
    hints = get_type_hints(record, include_extras=True)
    entries = {}
    for field in fields(record):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        value_type, fact = get_args(hint)[:2]
        entries[field.name] = FactEntry(field.name, value_type, fact)
    return entries


def remedy(
    names: Iterable[str],
    record: type,
    available: Collection[Need],
    advice: Mapping[Need, str] = MappingProxyType({}),
) -> str:
    """What a user can give so that facts become known.

    Whoever gives the whole model gives its mode, and what bnlint needs to trace it; weights alone cannot be traced,
    whatever input is given.

    Args:
        names: The facts.
        record: Their record, `NormFacts` or `ModelFacts`.
        available: What is at hand already.
        advice: Hints that fit the target better than the usual ones.

    Returns:
        The hints, each once, joined by semicolons; empty where all that the facts need is at hand.
    """
    missing = missing_needs(names, record, available)
    return "; ".join(dict.fromkeys(advice.get(need, need.value) for need in Need if need in missing))


def missing_needs(names: Iterable[str], record: type, available: Collection[Need]) -> frozenset[Need]:
    """What is not at hand for facts to become known, as `remedy` words it; the arguments are the same."""
    entries = vocabulary(record)
    missing = {need for name in names for need in entries[name].fact.needs if need not in available}
    if missing == {Need.CODE} and Need.GRAPH in available:
        return frozenset(missing)  # a program in a file has a graph, and no module
    needs_code = {Need.CODE, Need.GRAPH, *OPT_IN}
    if Need.MODULE not in available and missing & {Need.MODULE, Need.MODE, *needs_code}:
        whole = Need.MODE if Need.MODE in missing else Need.MODULE  # whoever gives a mode gives the model with it
        missing = missing - needs_code - {Need.MODE, Need.MODULE} | {whole}
    elif Need.CODE not in available and missing & needs_code:
        missing = missing - needs_code | {Need.CODE}
    return frozenset(missing)
