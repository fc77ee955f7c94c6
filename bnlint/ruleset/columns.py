"""The facts of many records, fact by fact: records that agree in what a rule reads are judged once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from operator import attrgetter

from bnlint.facts.records import NormFacts
from bnlint.ruleset.conditions import Condition, Record, Verdict


class Columns:
    """Judges records by conditions.

    Most layers of a model agree in most facts: of 20,000 a rule has to judge a handful.

    Args:
        records: The records of the normalisation calls, or that of the model.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self._differing: dict[str, list[object] | None] = {}

    @cached_property
    def _layers(self) -> tuple[str, ...]:
        return _layers_of(self._records)

    def by_verdict(self, when: Condition) -> dict[Verdict, Sequence[Record]]:
        """The records, in their order, by what a condition says of them.

        Args:
            when: The condition. It may depend on nothing but the facts that it says it reads, and not on anything by
                which equal values differ.
        """
        if not self._records:
            return {}
        columns = [column for fact in when.facts if (column := self._column(fact)) is not None]
        if not columns:
            return {when.judge(self._records[0]): self._records}
        found: dict[Verdict, list[Record]] = {}
        of_values: dict[tuple[object, ...], list[Record]] = {}
        for values, record in zip(zip(*columns, strict=True), self._records, strict=True):
            alike = of_values.get(values)
            if alike is None:
                alike = of_values[values] = found.setdefault(when.judge(record), [])
            alike.append(record)
        return dict(found)

    def layers(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Paths of the layers, each once, in the order of the records.

        Args:
            records: Some of the records, as `by_verdict` gives them.
        """
        return self._layers if records is self._records else _layers_of(records)

    def _column(self, fact: str) -> list[object] | None:
        """The values of a fact; `None` where they are all the same."""
        if fact not in self._differing:
            values = list(map(attrgetter(fact), self._records))
            self._differing[fact] = None if values.count(values[0]) == len(values) else values
        return self._differing[fact]


def _layers_of(records: Sequence[Record]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(record.layer for record in records if isinstance(record, NormFacts)))
