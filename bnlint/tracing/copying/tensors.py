"""Stand-ins for the tensors of a model: without values, or with values in CPU memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

TensorCopy = Callable[[Tensor], Tensor]


def meta_tensor(tensor: Tensor) -> Tensor:
    """A tensor of the same shape, strides, dtype and class of parameter on the meta device, without data.

    Args:
        tensor: A tensor of any shape and dtype on any device.

    Returns:
        A meta tensor; a `Parameter` for a `Parameter`, a lazy one for a lazy one.
    """
    if isinstance(tensor, UninitializedTensorMixin):
        lazy = type(tensor)(requires_grad=tensor.requires_grad, device="meta", dtype=tensor.dtype)
        return cast(Tensor, lazy)
    if (
        tensor.layout is not torch.strided
        or tensor.is_quantized
        or tensor.is_nested
        or type(tensor) not in (Tensor, nn.Parameter, nn.Buffer)
    ):
        return _meta_of_unusual(tensor)
    empty = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")
    if not isinstance(tensor, nn.Parameter):
        return empty
    parameter = nn.Parameter(empty, requires_grad=tensor.requires_grad)
    parameter.__dict__.update(tensor.__dict__)
    return parameter


def _meta_of_unusual(tensor: Tensor) -> Tensor:
    is_parameter = isinstance(tensor, nn.Parameter)
    try:
        empty = torch.empty(tensor.size(), dtype=tensor.dtype, device="meta")
    except (RuntimeError, TypeError, NotImplementedError):
        return tensor
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if is_parameter else empty


def cpu_tensor(tensor: Tensor) -> Tensor:
    """A tensor with the same values in CPU memory; random ones where there are none to copy (meta tensors).

    Args:
        tensor: A tensor of any shape, dtype and device.

    Returns:
        A new tensor, a `Parameter` for a `Parameter`. Values made up for a meta tensor are zeros for integers, ones for
        vectors, and small normal numbers otherwise, so that a run neither overflows nor vanishes.
    """
    if isinstance(tensor, UninitializedTensorMixin):
        return cast(Tensor, copy.deepcopy(tensor))
    with torch.no_grad():
        value = _made_up(tensor) if tensor.is_meta else tensor.detach().to("cpu", copy=True)
    return nn.Parameter(value, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else value


def _made_up(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return torch.zeros(tensor.size(), dtype=tensor.dtype)
    if tensor.dim() < 2:
        return torch.ones(tensor.size(), dtype=tensor.dtype)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(tensor.size(), generator=generator).mul_(0.02).to(tensor.dtype)


def cloned_tensor(tensor: Tensor) -> Tensor:
    """A tensor with the same values on the same device, a `Parameter` for a `Parameter`."""
    if isinstance(tensor, UninitializedTensorMixin):
        return cast(Tensor, copy.deepcopy(tensor))
    value = tensor.detach().clone()
    if not isinstance(tensor, nn.Parameter):
        return value
    parameter = nn.Parameter(value, requires_grad=tensor.requires_grad)
    parameter.__dict__.update(tensor.__dict__)
    return parameter


def same_tensor(tensor: Tensor) -> Tensor:
    """The tensor itself, for a copy that shares the weights of the model."""
    return tensor
