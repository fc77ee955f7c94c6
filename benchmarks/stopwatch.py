"""Times calls on a device in turns, and says how fast they could be if only memory were in the way."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

ROUNDS = {"cuda": 100, "cpu": 9}
WARM_UP = {"cuda": 20, "cpu": 2}
_COPIED = {"cuda": 1 << 30, "cpu": 1 << 27}
"""Bytes of the tensor that is copied to see the bandwidth: far beyond the caches."""


def medians_in_turns(calls: Mapping[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Median seconds of each call, in turns, so that a busy spell of the machine hits all alike.

    Args:
        calls: What to time, by label.
        device: Where they run; CUDA events tell the time on a GPU, processor time on the CPU.
    """
    timed = _with_events if device.type == "cuda" else _with_processor_time
    seconds: dict[str, list[float]] = {label: [] for label in calls}
    for turn in range(WARM_UP[device.type] + ROUNDS[device.type]):
        for label, call in calls.items():
            elapsed = timed(call)
            if turn >= WARM_UP[device.type]:
                seconds[label].append(elapsed)
    return {label: statistics.median(values) for label, values in seconds.items()}


def bandwidth(device: torch.device) -> float:
    """Bytes a second that the memory of a device reads and writes, of a copy of one large tensor."""
    source = torch.ones(_COPIED[device.type] // 4, device=device)
    target = torch.empty_like(source)
    seconds = medians_in_turns({"copy": lambda: target.copy_(source)}, device)["copy"]
    return 2 * _COPIED[device.type] / seconds


def least_bytes(model: nn.Module, images: Tensor) -> int:
    """Bytes that the model must move at least: what its convolutions and linear layers read and write, once each.

    All else could be done while a value is at hand. A call reads its input and its weights and writes its output;
    caches that keep a value from one call to the next could go below that.
    """
    moved = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal moved
        tensors = (inputs[0], output, *layer.parameters())
        moved += sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    carriers = [layer for layer in model.modules() if isinstance(layer, (_ConvNd, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in carriers]
    try:
        with torch.inference_mode():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return moved


def _with_processor_time(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _with_events(call: Callable[[], object]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    begin.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end)) / 1000
