"""Does the output for a sample depend on the other samples of its batch?

Two batches of the same shape, with the same first sample and other neighbours: every kernel then computes the first
sample in the same way, so the outputs for it agree nearly to the bit, unless samples are mixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bnlint.running.batches import at_least_two, batch_axis_unknown, with_other_neighbours
from bnlint.running.copies import RunningCopy, float_tensors
from bnlint.running.observations import BatchDependence
from bnlint.tracing.inputs import Inputs

TOLERANCES: Mapping[torch.dtype, float] = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Difference relative to the largest value above which outputs differ by more than rounding; 2e-2 for other types."""


class CannotTell(Exception):  # noqa: N818
    """A question that a run does not answer; the text says why."""


def observe_batch_dependence(running: RunningCopy, inputs: Inputs) -> BatchDependence:
    """Whether the output for the first sample changes with its neighbours.

    Args:
        running: The copy, in eval mode.
        inputs: Inputs with values; a single sample is used with copies of itself.

    Returns:
        The answer, with the module where samples first meet.

    Raises:
        CannotTell: Where the axis of the samples is not known, the model gives another output each time, or the output
            for one sample cannot be found in its outputs.
    """
    unknown = batch_axis_unknown(running.module, inputs)
    if unknown:
        raise CannotTell(unknown)
    batch = at_least_two(inputs)
    other = with_other_neighbours(batch)
    samples = batch.batch_size
    if other is None or not samples:
        raise CannotTell("the inputs hold the same value everywhere, so other neighbours would be the same")
    tolerance = TOLERANCES.get(running.dtype, 2e-2)
    expected = _of_first(running.run(batch), samples)
    if not expected:
        raise CannotTell("no output has the samples along its first axis")
    if not all(bool(tensor.isfinite().all()) for tensor in expected):
        raise CannotTell("the outputs hold NaN or an infinity")
    if differs(expected, _of_first(running.run(batch, seed=1), samples), tolerance):
        raise CannotTell("the model gives another output each time that it is run")
    if not differs(expected, _of_first(running.run(other), samples), tolerance):
        return BatchDependence(False)
    path = _where(running, batch, other, samples, tolerance)
    return BatchDependence(True, path, "" if path is None else type(running.modules()[path]).__name__)


def differs(one: Sequence[Tensor], two: Sequence[Tensor], tolerance: float) -> bool:
    """Whether tensors differ by more than a share of their largest value."""
    if [tensor.shape for tensor in one] != [tensor.shape for tensor in two]:
        return True
    return any(
        bool((a.double() - b.double()).abs().max() > tolerance * a.double().abs().max().clamp_min(1e-30))
        for a, b in zip(one, two, strict=True)
        if a.numel()
    )


def _of_first(tensors: Sequence[Tensor], samples: int) -> list[Tensor]:
    """What belongs to the first sample, in tensors whose first axis holds the samples one after the other."""
    fitting = (tensor for tensor in tensors if tensor.dim() and tensor.shape[0] and tensor.shape[0] % samples == 0)
    return [tensor.detach()[: tensor.shape[0] // samples].clone() for tensor in fitting]


def _where(running: RunningCopy, batch: Inputs, other: Inputs, samples: int, tolerance: float) -> str | None:
    """The first module to end whose input for the first sample agrees and whose output for it differs."""
    with _listening(running, samples) as first:
        running.run(batch)
    with _listening(running, samples) as second:
        running.run(other)
    for (path, inputs, outputs), (path2, inputs2, outputs2) in zip(first, second, strict=False):
        if path != path2:
            return None
        if outputs and not differs(inputs, inputs2, tolerance) and differs(outputs, outputs2, tolerance):
            return path
    return None


_Seen = list[tuple[str, list[Tensor], list[Tensor]]]


@contextmanager
def _listening(running: RunningCopy, samples: int) -> Iterator[_Seen]:
    """What each module is given for the first sample and what it makes of it, in the order in which they end."""
    seen: _Seen = []
    handles = []
    for path, module in running.modules().items():

        def keep(_: nn.Module, args: Any, kwargs: Any, output: Any, path: str = path) -> None:
            given = _of_first(float_tensors((args, kwargs)), samples)
            seen.append((path, given, _of_first(float_tensors(output), samples)))

        handles.append(module.register_forward_hook(keep, with_kwargs=True))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
