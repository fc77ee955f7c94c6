"""How many values a normalisation call averages over."""

from __future__ import annotations

import math
from typing import Any

from bnlint.facts.axes import channel_axis_is_feature_axis
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.tracing.kinds import NormKind
from bnlint.tracing.trace import NormCall


def shape_facts(call: NormCall, traced_batch: int | None, declared_batch: int | None) -> dict[str, Any]:
    """The shape facts of a call, by field name of `NormFacts`.

    Args:
        call: The call.
        traced_batch: Samples in the traced run.
        declared_batch: Declared training batch on each device, in samples.

    Returns:
        `input_shape`, `channel_axis`, `channel_axis_is_feature_axis`, `values_per_sample`, `values_per_channel` and
        `batch_size`.
    """
    shape = call.input_shape
    facts: dict[str, Any] = {"batch_size": UNKNOWN if declared_batch is None else declared_batch}
    if shape is None:
        return facts
    axis = _channel_axis(call.kind, len(shape))
    per_sample = _values_per_sample(call.kind, shape, axis, traced_batch)
    facts |= {"input_shape": shape, "channel_axis": axis, "values_per_sample": per_sample}
    facts["channel_axis_is_feature_axis"] = channel_axis_is_feature_axis(call, axis)
    if per_sample is None or per_sample is UNKNOWN:
        facts["values_per_channel"] = per_sample
    elif declared_batch is not None:
        facts["values_per_channel"] = per_sample * declared_batch
    return facts


def _channel_axis(kind: NormKind, rank: int) -> int | None:
    if kind in (NormKind.LAYER, NormKind.RMS):
        return rank - 1
    return 1 if rank > 1 else 0


def _values_per_sample(
    kind: NormKind, shape: tuple[int, ...], axis: int | None, batch: int | None
) -> Maybe[int | None]:
    """Values in each channel's batch statistics for one sample: the batch is spread over the other axes."""
    if kind is not NormKind.BATCH or axis is None:
        return None
    values = math.prod(size for index, size in enumerate(shape) if index != axis)
    if batch is None or batch == 0 or values % batch:
        return UNKNOWN
    return values // batch
