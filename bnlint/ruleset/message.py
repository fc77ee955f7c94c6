"""Messages with facts in braces."""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bnlint.facts.unknown import UNKNOWN
from bnlint.ruleset.conditions import Record
from bnlint.ruleset.nearest import alternatives, did_you_mean

COUNT = "count"
TOTAL = "total"


@dataclass(frozen=True)
class Message:
    """A text in which braces name facts, options and the number of layers.

    `{eps}` is the value of a fact, `{$minimum}` that of an option, `{count}` the number of layers and `{count:layer}`
    the number with its noun, `1 layer` or `53 layers`. A fact that differs among the records is a range, or a list;
    `{traffic_megabytes:total}` is the sum over the records.

    Attributes:
        parts: Pieces of text, each followed by a field, which is a name and a noun, or by nothing.
        options: The options of the rule.
    """

    parts: tuple[tuple[str, tuple[str, str] | None], ...]
    options: Mapping[str, int | float]

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts that the message names."""
        names = (field[0] for _, field in self.parts if field)
        return tuple(dict.fromkeys(name for name in names if name != COUNT and not name.startswith("$")))

    def fill(self, records: Sequence[Record], count: int) -> str:
        """The message for the records on which a rule holds.

        Args:
            records: One record or more.
            count: Number of distinct layers that they belong to.
        """
        return "".join(text + (self._value(*field, records, count) if field else "") for text, field in self.parts)

    def _value(self, name: str, noun: str, records: Sequence[Record], count: int) -> str:
        if name == COUNT:
            return f"{count:,} {noun}{'' if count == 1 else 's'}" if noun else f"{count:,}"
        if name.startswith("$"):
            return _text(self.options[name[1:]])
        values = [getattr(record, name) for record in records]
        return _sum(values) if noun == TOTAL else summarise(values)


def parse_message(text: str, facts: Collection[str], options: Mapping[str, int | float]) -> Message:
    """Read a message.

    Raises:
        ValueError: If its braces do not match, or name something that is neither a fact nor an option nor `count`.
    """
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"the message has a brace too few or too many ({error})") from error
    parts: list[tuple[str, tuple[str, str] | None]] = []
    names = [*facts, *(f"${option}" for option in options), COUNT]
    for literal, name, noun, conversion in pieces:
        if name is None:
            parts.append((literal, None))
            continue
        if name not in names or conversion or (noun and name != COUNT and (noun != TOTAL or name.startswith("$"))):
            question = did_you_mean(name, names)
            shown = name + (f"!{conversion}" if conversion else "") + (f":{noun}" if noun else "")
            thing = "option" if name.startswith("$") else "fact"
            raise ValueError(f'the message names an unknown {thing} "{shown}"' + (f"; {question}" if question else ""))
        parts.append((literal, (name, noun or "")))
    return Message(tuple(parts), options)


def summarise(values: Iterable[Any]) -> str:
    """Values of a fact as a phrase: one value, a range of numbers, or `a, b or c`."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return _text(distinct[0])
    numbers = sorted(value for value in distinct if _is_number(value))
    others = [value for value in distinct if not _is_number(value)]
    if not numbers and all(isinstance(value, frozenset) for value in others):
        return alternatives(sorted(frozenset().union(*others)))
    ends = dict.fromkeys(_text(number) for number in (numbers[:1] + numbers[-1:]))
    span = [" to ".join(ends)] if ends else []
    return alternatives([*span, *sorted(map(_text, others))])


def _sum(values: Iterable[Any]) -> str:
    """The sum of numbers to three digits; unknown where one of them is."""
    numbers = [value for value in values if value is not None]
    if UNKNOWN in numbers:
        return _text(UNKNOWN)
    return f"{float(f'{sum(numbers):.3g}'):,g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if value is UNKNOWN:
        return "unknown"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, frozenset):
        return alternatives(sorted(value), "and") if value else "nothing"
    if isinstance(value, tuple):
        return "×".join(map(str, value))
    return str(value)
