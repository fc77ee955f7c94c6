"""What the tensors of a normalisation layer hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from bnlint.facts.unknown import UNKNOWN, Maybe

TENSOR_NAMES = ("running_mean", "running_var", "weight", "bias")


class StatisticsFacts(TypedDict):
    """The fields of `NormFacts` that come from tensors."""

    affine: Maybe[bool]
    has_running_statistics: Maybe[bool]
    channels: Maybe[int | None]
    dtype: Maybe[str | None]
    has_batch_counter: Maybe[bool]
    batches_counted: Maybe[int | None]
    statistics_at_initial_values: Maybe[bool | None]
    affine_at_initial_values: Maybe[bool | None]
    nonfinite_tensors: Maybe[frozenset[str]]
    negative_variances: Maybe[int | None]


@dataclass(frozen=True)
class NormTensors:
    """The tensors of one normalisation layer; `None` for those that it does not have.

    Attributes:
        running_mean: Shape (C,), floating point.
        running_var: Shape (C,), floating point.
        weight: The scale, shape (C,) or the normalised shape.
        bias: The shift, like `weight`.
        num_batches_tracked: A scalar integer.
    """

    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    num_batches_tracked: Tensor | None = None

    def present(self) -> Mapping[str, Tensor]:
        """The tensors with one value for each channel, by name, without those that are missing."""
        return {name: tensor for name in TENSOR_NAMES if (tensor := getattr(self, name)) is not None}


def statistics_facts(tensors: NormTensors) -> StatisticsFacts:
    """The facts of one layer's tensors; those that need values are unknown for tensors without data.

    Args:
        tensors: The tensors of the layer, on any device.

    Returns:
        The facts by field name.
    """
    present = tensors.present()
    mean, variance, counter = tensors.running_mean, tensors.running_var, tensors.num_batches_tracked
    first = next(iter(present.values()), None)
    readable = all(_has_data(tensor) for tensor in present.values())
    return StatisticsFacts(
        affine=tensors.weight is not None,
        has_running_statistics=mean is not None and variance is not None,
        channels=None if first is None else UNKNOWN if isinstance(first, UninitializedTensorMixin) else first.numel(),
        dtype=None if first is None else str(first.dtype).removeprefix("torch."),
        has_batch_counter=counter is not None,
        batches_counted=None if counter is None else int(counter) if _has_data(counter) else UNKNOWN,
        statistics_at_initial_values=_zero_and_one(mean, variance),
        affine_at_initial_values=_zero_and_one(tensors.bias, tensors.weight),
        nonfinite_tensors=_nonfinite(present) if readable else UNKNOWN,
        negative_variances=None if variance is None else int((variance < 0).sum()) if _has_data(variance) else UNKNOWN,
    )


def _has_data(tensor: Tensor) -> bool:
    return not tensor.is_meta and not isinstance(tensor, UninitializedTensorMixin)


def _zero_and_one(zero: Tensor | None, one: Tensor | None) -> Maybe[bool | None]:
    """Whether one tensor is 0 and the other 1 throughout."""
    if zero is None or one is None:
        return None
    if not _has_data(zero) or not _has_data(one):
        return UNKNOWN
    return not bool(zero.any()) and bool((one == 1).all())


def _nonfinite(tensors: Mapping[str, Tensor]) -> frozenset[str]:
    # A finite sum proves that every value is finite; only the rest is looked at value by value.
    return frozenset(
        name
        for name, tensor in tensors.items()
        if not bool(tensor.detach().sum(dtype=torch.float64).isfinite()) and not bool(tensor.detach().isfinite().all())
    )
