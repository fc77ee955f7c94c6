"""What becomes of a layer's numbers once eps and a data type come in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy

from bnlint.errors import UsageError
from bnlint.facts.limits import limits_of, rounded
from bnlint.facts.numbers import Numbers
from bnlint.facts.ranges import Range
from bnlint.facts.statistics import NormTensors, Ranges, StatisticsFacts, ranges_of, statistics_facts
from bnlint.facts.unknown import UNKNOWN, Maybe

FAR_BELOW = 100
"""A variance this many times smaller than eps moves the gain by half a percent: eps alone sets it."""

LARGEST_EPS = 1e-2
"""No published model has a larger one; torch's default is 1e-5, that of TensorFlow 1e-3."""

DEPLOYMENT_DTYPES = ("float16", "bfloat16")
"""The data types whose range is worth a look before deployment."""


def deployment_dtype(given: object) -> str | None:
    """The name of the data type of deployment.

    Args:
        given: `float16` or `bfloat16`, or the same as a `torch.dtype`; `None` for none.

    Raises:
        UsageError: If it is another.
    """
    if given is None:
        return None
    name = str(given).removeprefix("torch.")
    if name not in DEPLOYMENT_DTYPES:
        raise UsageError(f"There is no deployment data type {name!r}.", f"Choose {' or '.join(DEPLOYMENT_DTYPES)}.")
    return name


class GainFacts(TypedDict):
    """The fields of `NormFacts` that come from eps and the tensors together."""

    eps_is_lost: Maybe[bool | None]
    channels_scaled_by_eps: Maybe[float | None]
    range_exceeded_by: Maybe[frozenset[str]]


class NumberFacts(StatisticsFacts, GainFacts):
    """The fields of `NormFacts` that come from the numbers of one layer."""


@dataclass(frozen=True)
class Arithmetic:
    """How a layer computes.

    Attributes:
        eps: The constant added to the variance; `None` where the class chooses it by data type.
        by_hand: Whether the class does the arithmetic in Python, in the data type of its tensors. PyTorch's own
            kernels add eps in float32 or float64, also where the tensors are float16 or bfloat16.
        deployed_in: The declared data type of deployment; `None` where none is declared.
    """

    eps: Maybe[float | None]
    by_hand: bool = False
    deployed_in: str | None = None


def gain_facts(tensors: NormTensors, ranges: Ranges, arithmetic: Arithmetic) -> GainFacts:
    """The facts of one layer that come from eps and the tensors together.

    Args:
        tensors: The tensors of the layer.
        ranges: Their ranges.
        arithmetic: How the layer computes.

    Returns:
        The facts by field name.
    """
    return GainFacts(
        eps_is_lost=_eps_is_lost(tensors, arithmetic),
        channels_scaled_by_eps=_scaled_by_eps(tensors, ranges, arithmetic.eps),
        range_exceeded_by=_exceeded(tensors, ranges, arithmetic),
    )


def number_facts(tensors: NormTensors, arithmetic: Arithmetic) -> NumberFacts:
    """All facts of one layer that its numbers give, each tensor reduced once where it is healthy.

    Args:
        tensors: The tensors of the layer.
        arithmetic: How the layer computes.

    Returns:
        The facts by field name.
    """
    ranges = ranges_of(tensors)
    return NumberFacts(**statistics_facts(tensors, ranges), **gain_facts(tensors, ranges, arithmetic))


def _eps_is_lost(tensors: NormTensors, arithmetic: Arithmetic) -> Maybe[bool | None]:
    """Whether eps is zero, or rounds to zero: up to half the smallest subnormal number of the data type."""
    eps = arithmetic.eps
    if eps is UNKNOWN or eps is None:
        return eps
    first = next(iter(tensors.present.values()), None)
    dtype = "float32" if first is None else first.dtype
    if not arithmetic.by_hand and dtype != "float64":
        dtype = "float32"
    limits = limits_of(dtype)
    return eps <= limits.smallest_normal * limits.eps / 2


def _scaled_by_eps(tensors: NormTensors, ranges: Ranges, eps: Maybe[float | None]) -> Maybe[float | None]:
    variance = tensors.running_var
    if variance is None or eps is None:
        return None
    extent = ranges["running_var"]
    if extent is UNKNOWN:
        return UNKNOWN
    if eps is UNKNOWN:
        return UNKNOWN if ranges.get("weight") is UNKNOWN else _dead_whatever_eps(tensors, extent)
    least = eps / FAR_BELOW
    if extent.low >= least or not variance.size:
        return 0.0
    if ranges.get("weight") is UNKNOWN or not _one_value_a_channel(tensors):
        return UNKNOWN
    values, scales = _double(variance), numpy.abs(_double(tensors.weight, 1.0))
    small = (values >= 0) & (values < least)
    amplified = small & (scales >= numpy.sqrt(numpy.where(small, values, 0.0) + eps))
    return int(amplified.sum()) / variance.size


def _dead_whatever_eps(tensors: NormTensors, extent: Range) -> Maybe[float]:
    """All channels, where every variance is 0 and no eps up to `LARGEST_EPS` leaves a gain below 1."""
    if not extent.is_all(0.0) or not _one_value_a_channel(tensors):
        return UNKNOWN
    amplified = numpy.abs(_double(tensors.weight, 1.0)).min() >= math.sqrt(LARGEST_EPS)
    return 1.0 if amplified else UNKNOWN


def _exceeded(tensors: NormTensors, ranges: Ranges, arithmetic: Arithmetic) -> Maybe[frozenset[str]]:
    dtype = arithmetic.deployed_in
    if dtype is None:
        return frozenset()
    if UNKNOWN in ranges.values():
        return UNKNOWN
    limits = limits_of(dtype)
    limit = limits.largest * (1 + limits.eps / 4)  # halfway to the next number: from here on a value rounds to infinity
    names = {name for name, tensor in tensors.present.items() if _leaves(ranges[name], tensor, limit)}
    eps = arithmetic.eps
    if tensors.running_var is None or tensors.running_mean is None or eps is None:
        return frozenset(names)
    if eps is UNKNOWN or not _one_value_a_channel(tensors):
        return frozenset(names) or UNKNOWN
    held_eps = _held(eps, dtype)
    if _folded_fits(ranges, held_eps, dtype, limit):
        return frozenset(names)
    return frozenset(names | _folded(tensors, held_eps, dtype, limit))


def _leaves(extent: Maybe[Range], tensor: Numbers, limit: float) -> bool:
    """Whether a finite value of a tensor leaves the range."""
    if extent is UNKNOWN or (extent.finite and extent.peak < limit):
        return False
    values = _double(tensor)
    return bool((numpy.isfinite(values) & (numpy.abs(values) >= limit)).any())


def _folded_fits(ranges: Ranges, eps: float, dtype: str, limit: float) -> bool:
    """Whether the ranges alone show that gain and shift fit: the largest scale over the smallest variance does."""
    known = {name: extent for name, extent in ranges.items() if extent is not UNKNOWN and extent.finite}
    if len(known) < len(ranges) or known["running_var"].low < 0:
        return False
    least = _held(known["running_var"].low, dtype) + eps
    if not least:
        return False
    gain = (known["weight"].peak if "weight" in known else 1.0) / math.sqrt(least)
    return gain < limit and (known["bias"].peak if "bias" in known else 0.0) + known["running_mean"].peak * gain < limit


def _folded(tensors: NormTensors, eps: float, dtype: str, limit: float) -> set[str]:
    """Which of gain and shift leave the range, with the variance rounded as the data type holds it.

    Channels whose own numbers are not finite, or whose variance is negative, are left out: another fact tells of them.
    """
    mean, variance = _double(tensors.running_mean), _double(tensors.running_var)
    weight, bias = _double(tensors.weight, 1.0), _double(tensors.bias, 0.0)
    with numpy.errstate(all="ignore"):
        sound = numpy.isfinite(mean + weight + bias) & numpy.isfinite(variance) & (variance >= 0)
        gain = weight / numpy.sqrt(rounded(variance, dtype) + eps)
        values = {"gain": gain, "shift": bias - mean * gain}
        return {name for name, value in values.items() if bool((sound & ~(numpy.abs(value) < limit)).any())}


def _one_value_a_channel(tensors: NormTensors) -> bool:
    """Whether the tensors agree in size; those of a class that does its own arithmetic need not."""
    return len({tensor.size for tensor in tensors.present.values()}) == 1


def _held(value: float, dtype: str) -> float:
    """A number as a data type holds it."""
    return float(rounded(numpy.array(value, numpy.float64), dtype))


def _double(numbers: Numbers | None, default: float = 0.0) -> numpy.ndarray:
    """The values in float64 on one axis."""
    return numpy.array([default]) if numbers is None else numbers.values.astype(numpy.float64).ravel()
