"""How many values a normalisation call averages over."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from bnlint.facts.axes import Features, KnownFeatures, features_before
from bnlint.facts.setup import TrainingSetup, setup_facts
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.norms.kinds import NormKind
from bnlint.tracing.trace import NormCall


def shape_facts(call: NormCall, traced_batch: int | None, setup: TrainingSetup, known: KnownFeatures) -> dict[str, Any]:
    """The shape facts of a call, by field name of `NormFacts`.

    Args:
        call: The call.
        traced_batch: Samples in the traced run.
        setup: The declared training set-up.
        known: What other calls of the graph have found out, and this one.

    Returns:
        `input_shape`, `channel_axis`, `channel_axis_is_feature_axis`, `as_many_channels_as_features`,
        `values_per_sample`, `values_per_channel`, `values_in_last_batch`, `traffic_megabytes` and those of the set-up.
    """
    shape = call.input_shape
    facts = setup_facts(setup)
    if shape is None:
        return facts
    axis = _channel_axis(call.kind, len(shape))
    per_sample = _values_per_sample(call.kind, shape, axis, traced_batch)
    facts |= {"input_shape": shape, "channel_axis": axis, "values_per_sample": per_sample}
    facts["traffic_megabytes"] = _traffic(call)
    facts |= _feature_facts(features_before(call, axis, known), shape, axis)
    facts["values_per_channel"] = _times(per_sample, facts["batch_size"])
    facts["values_in_last_batch"] = _times(per_sample, facts["last_batch_size"])
    return facts


def _traffic(call: NormCall) -> Maybe[float]:
    """What a layer that does little arithmetic costs: each value of its input is read once and written once."""
    value = call.input_node.meta.get("val") if call.input_node is not None else None
    if not isinstance(value, Tensor):
        return UNKNOWN
    return 2 * value.numel() * value.element_size() / 1e6


def _times(per_sample: Maybe[int | None], samples: Maybe[int | None]) -> Maybe[int | None]:
    """Values in each channel's statistics; `None` where either does not apply."""
    if per_sample is None or samples is None:
        return None
    return UNKNOWN if per_sample is UNKNOWN or samples is UNKNOWN else per_sample * samples


def _feature_facts(features: Maybe[Features | None], shape: tuple[int, ...], axis: int | None) -> dict[str, Any]:
    if features is UNKNOWN or features is None or axis is None:
        return {"channel_axis_is_feature_axis": features, "as_many_channels_as_features": features}
    return {
        "channel_axis_is_feature_axis": features.are_channels,
        "as_many_channels_as_features": features.count == shape[axis],
    }


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
