"""Three-valued conditions over the facts of one record.

The logic is Kleene's: what is unknown makes a condition unknown, unless the rest decides it either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, Self

import msgspec

from bnlint.facts.records import ModelFacts, NormFacts
from bnlint.facts.unknown import UNKNOWN, Unknown

Record = NormFacts | ModelFacts
Truth = bool | Literal[Unknown.UNKNOWN]


class Verdict(msgspec.Struct, frozen=True):
    """What a condition says of a record.

    Attributes:
        truth: True, false or unknown.
        undecided: The unknown facts that would decide it, in order of reading; empty unless `truth` is unknown.
    """

    truth: Truth
    undecided: tuple[str, ...] = ()


_DECIDED = {truth: Verdict(truth) for truth in (False, True)}
"""Made once: a check of 46 rules on 300 layers asks for ten thousand verdicts."""


class Condition(Protocol):
    """A condition on one record."""

    @property
    def facts(self) -> tuple[str, ...]:
        """Names of the facts that the condition reads, each once, in order of reading."""

    def judge(self, record: Record) -> Verdict:
        """Whether the condition holds on a record."""

    def with_options(self, options: Mapping[str, int | float]) -> Self:
        """The same condition with other numbers for the options that it refers to."""


def _has(value: frozenset[str], names: frozenset[str]) -> bool:
    return not value.isdisjoint(names)


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, operand: bool(value == operand),
    "in": lambda value, operand: value in operand,
    "not_in": lambda value, operand: value not in operand,
    "less_than": lambda value, operand: bool(value < operand),
    "at_most": lambda value, operand: bool(value <= operand),
    "more_than": lambda value, operand: bool(value > operand),
    "at_least": lambda value, operand: bool(value >= operand),
    "has": _has,
    "lacks": lambda value, operand: not _has(value, operand),
    "only": lambda value, operand: bool(value) and value <= operand,
    "empty": lambda value, operand: (not value) is operand,
}
"""What each operator does with a known fact and its operand. `equals` is how a bare value is meant."""


class Comparison(msgspec.Struct, frozen=True):
    """One fact, one operator, one operand.

    A fact that is `None` does not apply to the record: every comparison with it is false, except equality with null.

    Attributes:
        fact: Name of the fact.
        operator: A key of `OPERATORS`.
        operand: What the fact is compared with.
        option: Name of the option that the operand comes from; empty where the rule file holds the operand itself.
    """

    fact: str
    operator: str
    operand: Any
    option: str = ""

    @property
    def facts(self) -> tuple[str, ...]:
        """The fact."""
        return (self.fact,)

    def judge(self, record: Record) -> Verdict:
        """Compare the fact of a record."""
        value = getattr(record, self.fact)
        if value is UNKNOWN:
            return Verdict(UNKNOWN, (self.fact,))
        if value is None or self.operand is None:
            return _DECIDED[value is None and self.operand is None]
        return _DECIDED[OPERATORS[self.operator](value, self.operand)]

    def with_options(self, options: Mapping[str, int | float]) -> Self:
        """The comparison with the number that its option now has."""
        return msgspec.structs.replace(self, operand=options[self.option]) if self.option else self


class Every(msgspec.Struct, frozen=True):
    """All of the parts hold."""

    parts: tuple[Condition, ...]

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts of the parts."""
        return _facts(self.parts)

    def judge(self, record: Record) -> Verdict:
        """False if any part is false, else unknown if any part is unknown, else true."""
        return _combine(self.parts, record, decisive=False)

    def with_options(self, options: Mapping[str, int | float]) -> Self:
        """The parts with other numbers."""
        return msgspec.structs.replace(self, parts=tuple(part.with_options(options) for part in self.parts))


class Some(msgspec.Struct, frozen=True):
    """At least one of the parts holds."""

    parts: tuple[Condition, ...]

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts of the parts."""
        return _facts(self.parts)

    def judge(self, record: Record) -> Verdict:
        """True if any part is true, else unknown if any part is unknown, else false."""
        return _combine(self.parts, record, decisive=True)

    def with_options(self, options: Mapping[str, int | float]) -> Self:
        """The parts with other numbers."""
        return msgspec.structs.replace(self, parts=tuple(part.with_options(options) for part in self.parts))


class Negation(msgspec.Struct, frozen=True):
    """The part does not hold."""

    part: Condition

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts of the part."""
        return self.part.facts

    def judge(self, record: Record) -> Verdict:
        """The opposite of the part; unknown stays unknown."""
        verdict = self.part.judge(record)
        return verdict if verdict.truth is UNKNOWN else _DECIDED[not verdict.truth]

    def with_options(self, options: Mapping[str, int | float]) -> Self:
        """The part with other numbers."""
        return msgspec.structs.replace(self, part=self.part.with_options(options))


def _facts(parts: tuple[Condition, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(fact for part in parts for fact in part.facts))


def _combine(parts: tuple[Condition, ...], record: Record, *, decisive: bool) -> Verdict:
    undecided: dict[str, None] = {}
    for part in parts:
        verdict = part.judge(record)
        if verdict.truth is decisive:
            return verdict
        if verdict.truth is UNKNOWN:
            undecided.update(dict.fromkeys(verdict.undecided))
    return Verdict(UNKNOWN, tuple(undecided)) if undecided else _DECIDED[not decisive]
