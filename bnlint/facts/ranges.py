"""The least and the greatest value of a tensor: most questions about its values are answered by these two."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bnlint.facts.numbers import Numbers
from bnlint.facts.unknown import UNKNOWN, Maybe


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the greatest value of a tensor; both are NaN where it holds a NaN, or nothing.

    Attributes:
        low: The least value.
        high: The greatest value.
    """

    low: float
    high: float

    @property
    def finite(self) -> bool:
        """Whether every value is finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def peak(self) -> float:
        """The greatest absolute value."""
        return max(abs(self.low), abs(self.high))

    def is_all(self, value: float) -> bool:
        """Whether every value of the tensor is this one."""
        return self.low == self.high == value


def range_of(numbers: Numbers) -> Maybe[Range]:
    """The range of a tensor of any shape and real type; unknown for one without data."""
    if numbers.read is None:
        return UNKNOWN
    if not numbers.size:
        return Range(math.nan, math.nan)
    return Range(float(numbers.values.min()), float(numbers.values.max()))
