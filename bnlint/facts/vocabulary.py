"""The vocabulary of facts: each fact's documentation and what it takes to know it."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints


class Need(enum.Enum):
    """A source of facts; the value says how a user supplies it."""

    MODULE = "give the whole model (a pickled model with `--trust`, or an import string), not only its weights"
    MODE = "give a model whose mode was set by its owner: a whole saved model, or a factory without `--weights`"
    STATE = "give weights: a saved model, or `--weights FILE`"
    GRAPH = "give an input that the model accepts, such as `--input 1x3x224x224`"
    BATCH_SIZE = "give `--batch-size N`, the training batch on each device"


@dataclass(frozen=True)
class Fact:
    """Documentation of one fact; written beside its type with `Annotated`.

    Attributes:
        doc: One sentence: the meaning, the unit, where it comes from.
        family: The heading under which `bnlint facts` shows it.
        needs: What must be at hand to know it, all of them.
        values: The names that the fact can take or hold; empty where any value is possible.
    """

    doc: str
    family: str
    needs: tuple[Need, ...] = ()
    values: tuple[str, ...] = ()


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


def vocabulary(record: type) -> dict[str, FactEntry]:
    """The facts of a record class by name, in the order of their definition.

    Args:
        record: `NormFacts` or `ModelFacts`.

    Returns:
        An entry for each field that carries a `Fact`; other fields are not facts and rules cannot read them.
    """
    hints = get_type_hints(record, include_extras=True)
    entries = {}
    for field in fields(record):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        value_type, fact = get_args(hint)[:2]
        entries[field.name] = FactEntry(field.name, value_type, fact)
    return entries


def remedy(names: Iterable[str], record: type, available: Collection[Need]) -> str:
    """What a user can give so that facts become known.

    Whoever gives the whole model gives its mode, and what bnlint needs to trace it; weights alone cannot be traced,
    whatever input is given.

    Args:
        names: The facts.
        record: Their record, `NormFacts` or `ModelFacts`.
        available: What is at hand already.

    Returns:
        The hints, joined by semicolons; empty where all that the facts need is at hand.
    """
    entries = vocabulary(record)
    missing = {need for name in names for need in entries[name].fact.needs if need not in available}
    if Need.MODULE not in available and missing & {Need.MODULE, Need.MODE, Need.GRAPH}:
        missing = missing - {Need.MODE, Need.GRAPH} | {Need.MODULE}
    return "; ".join(need.value for need in Need if need in missing)
