"""Devices in a run: the model's code is told of its real device, and everything runs where the recorder wants it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensor

from bnlint.tracing.emission import Emission

PURE_MOVERS = frozenset({"cuda", "cpu", "xpu", "mps", "pin_memory"})
"""Methods that only move a tensor to another memory."""

MOVERS = PURE_MOVERS | {"to", "type"}
"""Methods that may move a tensor to another memory."""

_DEVICE_TYPES = frozenset({"cpu", "cuda", "mps", "xpu", "meta", "hpu", "xla"})


def answer_about_device(emission: Emission, device: torch.device) -> tuple[Any] | None:
    """The model's code is told of the device that it would really run on."""
    if emission.op or emission.writes:
        return (-1,) if emission.name == "get_device" and device.type == "cpu" else None
    if emission.target == "device":
        return (device,)
    if emission.target == "is_meta":
        return (device.type == "meta",)
    if emission.target in ("is_cuda", "is_cpu", "is_mps", "is_xpu"):
        return (emission.target == f"is_{device.type}",)
    return None


def moved(args: Any, kwargs: Any, device: torch.device) -> tuple[Any, Any]:
    """The arguments of a call with every device replaced by another."""
    new_args = tuple(device if _is_device(arg) else arg for arg in args)
    new_kwargs = {key: device if key == "device" and value is not None else value for key, value in kwargs.items()}
    return new_args, new_kwargs


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device) or (isinstance(value, str) and value.split(":")[0] in _DEVICE_TYPES)


def wraps_values(tensor: Tensor) -> bool:
    """Whether the values are those of other tensors, as in distributed, quantised and fake ones, which dispatch."""
    return type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__


def lacks_values(tensor: Tensor) -> bool:
    """Whether a tensor is on the meta device, or of `FakeTensorMode`, where to read its memory would crash Python."""
    return tensor.is_meta or isinstance(tensor, FakeTensor)
