"""Numbers as ONNX holds them: attributes are float32."""

from __future__ import annotations

from decimal import Decimal

import numpy


def as_written(number: float) -> float:
    """The shortest decimal that a number in float32 may have been written as: 0.9, not 0.8999999761581421."""
    return float(str(numpy.float32(number)))


def complement(number: float) -> float:
    """1 minus a number in float32, as it may have been written: 0.1 for 0.8999999761581421."""
    return float(1 - Decimal(str(numpy.float32(number))))
