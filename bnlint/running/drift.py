"""Running statistics against the statistics of real inputs, per layer and channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bnlint.interruption import OutOfTime
from bnlint.norms.classes import is_frozen_batch_norm, norm_kind
from bnlint.norms.kinds import NormKind
from bnlint.norms.tensors import STATISTICS
from bnlint.running.batches import sample_count
from bnlint.running.copies import RunningCopy
from bnlint.running.moments import Moments
from bnlint.running.observations import DataRun, Drift
from bnlint.tracing.inputs import Inputs

FEWEST_SAMPLES = 8
"""Samples below which their spread says too little about the sampling error."""

FEWEST_VALUES = 16
"""Values per channel in a batch by which a layer may be normalised: their standard deviation is known to 18 %."""

_AT_ONCE = 1 << 22
"""Values that are normalised at once, in float64."""


def observe_drift(running: RunningCopy, batches: Iterator[Inputs], tell: Callable[[int], None]) -> DataRun:
    """Run real inputs through the copy and compare what reaches each BatchNorm with its running statistics.

    Each batch runs twice. In eval mode, as deployed, a wrong layer makes those after it look wrong as well. With every
    BatchNorm normalising by the batch, as when the statistics were taken, each layer is seen by itself.

    Args:
        running: The copy; it is set to eval mode.
        batches: The inputs, with values.
        tell: Is told the number of each batch before it runs, from 1.

    Returns:
        The drift of each layer. A batch that cannot be run any more for want of time ends the observation.

    Raises:
        Exception: Whatever the code of the model raises in eval mode.
    """
    layers = _layers(running)
    deployed, own = _Listener(layers), _Listener(layers)
    samples = first_size = 0
    with running.state_kept():
        for number, inputs in enumerate(batches, 1):
            tell(number)
            size = sample_count(inputs)
            running.module.eval()
            try:
                with deployed.listening(size):
                    running.run(inputs)
                first_size = first_size or size
                if size >= first_size and own.usable:
                    _run_by_batch(running, layers, own, inputs, size)
            except OutOfTime:
                break
            samples += size
    by_itself = own.moments if own.usable else {}
    return DataRun(samples, {path: _drift(seen, by_itself.get(path)) for path, seen in deployed.moments.items()})


def _run_by_batch(
    running: RunningCopy, layers: Mapping[str, nn.Module], listener: _Listener, inputs: Inputs, size: int
) -> None:
    for layer in layers.values():
        layer.training = True
    try:
        with listener.listening(size):
            running.run(inputs)
    except Exception:  # a single value per channel, or a layer that refuses to train
        listener.usable = False
    finally:
        running.restore()


def _layers(running: RunningCopy) -> dict[str, nn.Module]:
    """The BatchNorm layers with running statistics; frozen ones are meant to keep those of another data set."""
    return {
        path: module
        for path, module in running.modules().items()
        if norm_kind(module) is NormKind.BATCH
        and not is_frozen_batch_norm(module)
        and all(isinstance(getattr(module, name, None), Tensor) for name in STATISTICS)
    }


class _Listener:
    """Adds up the moments of what reaches each layer, normalised by the running statistics of the model."""

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self._layers = layers
        self._scales = {path: _scale(layer) for path, layer in layers.items()}
        self.moments: dict[str, Moments] = {}
        self.usable = True

    @contextmanager
    def listening(self, samples: int) -> Iterator[None]:
        """Listen during one run.

        Args:
            samples: Samples in the batch.
        """
        handles = [
            layer.register_forward_pre_hook(self._hook(path, samples), with_kwargs=True)
            for path, layer in self._layers.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, path: str, samples: int) -> Callable[..., None]:
        def listen(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            values = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
            mean, inverse = self._scales[path]
            if values is None or values.dim() < 2 or values.shape[1] != mean.numel() or not values.numel():
                self.moments.setdefault(path, Moments())  # without samples: it cannot be told
                return
            if values.numel() // mean.numel() < FEWEST_VALUES:
                self.usable = False
            first, second = _moments(values.detach(), mean, inverse)
            groups = samples if len(first) % samples == 0 else 1
            moments = self.moments.setdefault(path, Moments())
            moments.add(*(rows.reshape(groups, -1, rows.shape[1]).mean(1) for rows in (first, second)))

        return listen


def _scale(layer: nn.Module) -> tuple[Tensor, Tensor]:
    eps = next((value for name in ("eps", "epsilon") if isinstance(value := getattr(layer, name, None), float)), 1e-5)
    mean, variance = (getattr(layer, name).detach().double() for name in STATISTICS)
    return mean.clone(), (variance + eps).rsqrt()


def _moments(values: Tensor, mean: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square of the normalised values of each row and channel, both (N, C), float64, a part at a time."""
    found = []
    for part in torch.split(values, max(1, _AT_ONCE * len(values) // values.numel())):
        normalised = (part.reshape(len(part), len(mean), -1).double() - mean[:, None]) * inverse[:, None]
        found.append(torch.stack([normalised.mean(2), normalised.square().mean(2)]))
    first, second = torch.cat(found, 1).cpu()
    return first, second


def _drift(deployed: Moments, own: Moments | None) -> Drift | None:
    if deployed.samples < FEWEST_SAMPLES:
        return None
    channels = deployed.distances()
    worst = int(channels.distance.argmax())
    return Drift(
        distance=float(channels.distance.median()),
        own_distance=None if own is None or own.samples < FEWEST_SAMPLES else float(own.distances().distance.median()),
        mean_shift=float(channels.mean.abs().median()),
        spread_ratio=float(channels.spread.median()),
        worst_channel=worst,
        worst_distance=float(channels.distance[worst]),
    )
