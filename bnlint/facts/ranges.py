"""The least and the greatest value of a tensor: most questions about its values are answered by these two."""

from __future__ import annotations

import math
from typing import NamedTuple

from bnlint.facts.numbers import Numbers
from bnlint.facts.unknown import UNKNOWN, Maybe


class Range(NamedTuple):
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
    """The range of a tensor of any shape; unknown for one without data, and of complex numbers, which have no order."""
    if numbers.extent is not None:
        return Range(*numbers.extent)
    if numbers.read is None or numbers.dtype.startswith("complex"):
        return UNKNOWN
    if not numbers.size:
        return Range(math.nan, math.nan)
    return Range(float(numbers.values.min()), float(numbers.values.max()))
