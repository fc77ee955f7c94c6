"""The limits of the floating-point types, and rounding to them, without torch."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy


class Limits(NamedTuple):
    """What a floating-point type can hold.

    Attributes:
        largest: The largest finite number.
        eps: The distance from 1 to the next number.
        smallest_normal: The smallest positive number with full precision.
    """

    largest: float
    eps: float
    smallest_normal: float


_LIMITS: Final = {
    "float64": Limits(float(numpy.finfo(numpy.float64).max), 2.0**-52, 2.0**-1022),
    "float32": Limits(float(numpy.finfo(numpy.float32).max), 2.0**-23, 2.0**-126),
    "float16": Limits(65504.0, 2.0**-10, 2.0**-14),
    "bfloat16": Limits((2 - 2.0**-7) * 2.0**127, 2.0**-7, 2.0**-126),  # 8 bits of exponent, 7 of fraction
}


def limits_of(dtype: str) -> Limits:
    """The limits of a type by its name; those of float32 for a type in which no layer computes."""
    return _LIMITS.get(dtype, _LIMITS["float32"])


def rounded(values: numpy.ndarray, dtype: str) -> numpy.ndarray:
    """Values as a type holds them.

    Args:
        values: Of any shape, float64.
        dtype: `float16` or `bfloat16`.

    Returns:
        The same in float64, rounded; infinite where they leave the range.
    """
    with numpy.errstate(over="ignore"):
        if dtype == "float16":
            return values.astype(numpy.float16).astype(numpy.float64)
        import ml_dtypes

        return values.astype(ml_dtypes.bfloat16).astype(numpy.float64)
