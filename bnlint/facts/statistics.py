"""What the tensors of a normalisation layer hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final, TypedDict

import msgspec
import numpy

from bnlint.facts.numbers import Numbers
from bnlint.facts.ranges import Range, range_of
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.norms.tensors import ARGUMENTS

_RESOLUTION: Final = float(numpy.finfo(numpy.float32).eps)


class StatisticsFacts(TypedDict):
    """The fields of `NormFacts` that come from tensors."""

    affine: Maybe[bool]
    has_running_statistics: Maybe[bool]
    missing_statistic: Maybe[str | None]
    channels: Maybe[int | None]
    dtype: Maybe[str | None]
    has_batch_counter: Maybe[bool]
    batches_counted: Maybe[int | None]
    statistics_at_initial_values: Maybe[bool | None]
    affine_at_initial_values: Maybe[bool | None]
    nonfinite_tensors: Maybe[frozenset[str]]
    negative_variances: Maybe[int | None]
    zero_variances: Maybe[int | None]
    zero_scale_share: Maybe[float | None]


class NormTensors(msgspec.Struct, frozen=True, dict=True):
    """The tensors of one normalisation layer; `None` for those that it does not have.

    Attributes:
        running_mean: Shape (C,), floating point.
        running_var: Shape (C,), floating point.
        weight: The scale, shape (C,) or the normalised shape.
        bias: The shift, like `weight`.
        num_batches_tracked: A scalar integer.
    """

    running_mean: Numbers | None = None
    running_var: Numbers | None = None
    weight: Numbers | None = None
    bias: Numbers | None = None
    num_batches_tracked: Numbers | None = None

    @property
    def missing_statistic(self) -> str | None:
        """`running_mean` or `running_var`, where the other one is there; `None` where both are, or neither is."""
        if (self.running_mean is None) == (self.running_var is None):
            return None
        return "running_mean" if self.running_mean is None else "running_var"

    @cached_property
    def present(self) -> Mapping[str, Numbers]:
        """The tensors with one value for each channel, by name, without those that are missing."""
        return {name: tensor for name in ARGUMENTS if (tensor := getattr(self, name)) is not None}


Ranges = Mapping[str, Maybe[Range]]
"""The range of each tensor of a layer, by its name."""


def ranges_of(tensors: NormTensors) -> Ranges:
    """The range of each tensor that a layer has: the only reductions that a healthy layer costs."""
    return {name: range_of(tensor) for name, tensor in tensors.present.items()}


def statistics_facts(tensors: NormTensors, ranges: Ranges | None = None) -> StatisticsFacts:
    """The facts of one layer's tensors; those that need values are unknown for tensors without data.

    Args:
        tensors: The tensors of the layer.
        ranges: Their ranges, where they are at hand.

    Returns:
        The facts by field name.
    """
    ranges = ranges_of(tensors) if ranges is None else ranges
    present = tensors.present
    mean, variance, counter = tensors.running_mean, tensors.running_var, tensors.num_batches_tracked
    first = next(iter(present.values()), None)
    return StatisticsFacts(
        affine=tensors.weight is not None,
        has_running_statistics=mean is not None and variance is not None,
        missing_statistic=tensors.missing_statistic,
        channels=None if first is None else UNKNOWN if first.shape is None else first.size,
        dtype=None if first is None else first.dtype,
        has_batch_counter=counter is not None,
        batches_counted=_counted(counter),
        statistics_at_initial_values=_zero_and_one(ranges.get("running_mean"), ranges.get("running_var")),
        affine_at_initial_values=_zero_and_one(ranges.get("bias"), ranges.get("weight")),
        nonfinite_tensors=_nonfinite(present, ranges),
        negative_variances=_variances(variance, ranges.get("running_var"), below=True),
        zero_variances=_variances(variance, ranges.get("running_var"), below=False),
        zero_scale_share=_zero_scales(tensors.weight, ranges.get("weight")),
    )


def _counted(counter: Numbers | None) -> Maybe[int | None]:
    if counter is None:
        return None
    extent = range_of(counter) if counter.size == 1 else UNKNOWN
    return int(extent.low) if extent is not UNKNOWN and extent.finite else UNKNOWN


def _zero_and_one(zero: Maybe[Range | None], one: Maybe[Range | None]) -> Maybe[bool | None]:
    """Whether one tensor is 0 and the other 1 throughout."""
    if zero is None or one is None:
        return None
    if zero is UNKNOWN or one is UNKNOWN:
        return UNKNOWN
    return zero.is_all(0.0) and one.is_all(1.0)


def _nonfinite(tensors: Mapping[str, Numbers], ranges: Ranges) -> Maybe[frozenset[str]]:
    names = []
    for name, tensor in tensors.items():
        extent = ranges[name]
        if extent is UNKNOWN:
            return UNKNOWN
        if not extent.finite and not numpy.isfinite(tensor.values).all():
            names.append(name)
    return frozenset(names)


def _variances(variance: Numbers | None, extent: Maybe[Range | None], *, below: bool) -> Maybe[int | None]:
    """Number of variances below zero, or of exactly zero."""
    if variance is None or extent is None:
        return None
    if extent is UNKNOWN:
        return UNKNOWN
    if extent.low > 0 or (below and extent.low == 0):
        return 0
    return int(((variance.values < 0) if below else (variance.values == 0)).sum())


def _zero_scales(weight: Numbers | None, extent: Maybe[Range | None]) -> Maybe[float | None]:
    """Share of scales that are zero beside the largest: below the resolution of float32, or zero like all others."""
    if weight is None or extent is None:
        return None
    if extent is UNKNOWN:
        return UNKNOWN
    least = extent.peak * _RESOLUTION if extent.finite else 0.0
    if extent.low > least or extent.high < -least or not weight.size:
        return 0.0
    return int((numpy.abs(weight.values) <= least).sum()) / weight.size
