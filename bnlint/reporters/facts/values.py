"""Facts as values that JSON can hold, the same for every format that programs read."""

from __future__ import annotations

import math
from typing import Any, Final

from bnlint.facts.records import ModelFacts, NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import vocabulary

NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")
"""The texts in place of numbers that JSON does not have."""


def plain_facts(record: NormFacts | ModelFacts) -> dict[str, Any]:
    """The facts of a record by name, in the order of the vocabulary.

    Args:
        record: The record.

    Returns:
        Flags, numbers, texts and lists of these: a set in alphabetical order, `unknown` for the unknown value, `None`
        for what does not apply. A text in a file that is not UTF-8 has its lone surrogates escaped.
    """
    return {name: _plain(getattr(record, name)) for name in vocabulary(type(record))}


def _plain(value: Any) -> Any:
    if value is UNKNOWN:
        return str(UNKNOWN.value)
    if isinstance(value, frozenset):
        return sorted(map(_plain, value))
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
