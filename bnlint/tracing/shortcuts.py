"""Shapes of the results of common calls on meta tensors, without torch's own code for them.

On the meta device torch runs many operators as Python that breaks them down into simpler ones: about a millisecond for
a BatchNorm, hundreds of microseconds for an activation. Their results are simple: as the input, or of a shape that is
read off. A shortcut answers only where nothing but plain, dense, floating-point meta tensors of one data type is
involved, outside of autocast and of gradients; in every other case, errors among them, torch does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.nn.modules.batchnorm import _BatchNorm

META = torch.device("meta")
_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

Shortcut = Callable[..., Tensor | None]
"""Takes the arguments of a call; gives its result, or `None` if torch must do the work."""


def call_shortcut(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The result of a function call on meta tensors.

    Args:
        func: What a `TorchFunctionMode` was given.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Returns:
        A meta tensor of the shape, strides and data type that torch would give, or `None` if there is no shortcut.
    """
    shortcut = _FUNCTIONS.get(func)
    if shortcut is None or not _is_plain_run():
        return None
    try:
        return shortcut(*args, **kwargs)
    except TypeError:  # arguments that the shortcut does not know
        return None


def module_shortcut(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The same for the call of a leaf module with the forward of torch and no hooks."""
    shortcut = _FORWARDS.get(type(module).forward)
    if shortcut is None or kwargs or len(args) != 1 or "forward" in module.__dict__ or not _is_plain_run():
        return None
    if any(getattr(module, hooks) for hooks in _HOOKS) or any(map(bool, _GLOBAL_HOOKS)):
        return None
    return shortcut(module, args[0])


_GLOBAL_HOOKS = (
    module_hooks._global_forward_hooks,
    module_hooks._global_forward_pre_hooks,
    module_hooks._global_backward_hooks,
    module_hooks._global_backward_pre_hooks,
)


def _is_plain_run() -> bool:
    return not torch.is_grad_enabled() and not torch._C._is_any_autocast_enabled()


def _is_plain(tensor: Any, dtype: torch.dtype | None = None) -> bool:
    """A dense floating-point meta tensor in one of the two usual memory formats, of a data type if one is given."""
    return (
        isinstance(tensor, Tensor)
        and type(tensor) in (Tensor, nn.Parameter)
        and tensor.is_meta
        and tensor.layout is torch.strided
        and not tensor.is_nested
        and tensor.dtype in (_DTYPES if dtype is None else (dtype,))
        and (tensor.is_contiguous() or _is_channels_last(tensor))
    )


def _is_channels_last(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def _are_plain_vectors(dtype: torch.dtype, size: int, *tensors: Tensor | None) -> bool:
    return all(tensor is None or (_is_plain(tensor, dtype) and tensor.shape == (size,)) for tensor in tensors)


def _like(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=META)


def _empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=META)


def _elementwise(x: Any, *numbers: Any, inplace: bool = False, **named: Any) -> Tensor | None:
    if not _is_plain(x) or any(isinstance(value, Tensor) for value in (*numbers, *named.values())) or "out" in named:
        return None
    return cast(Tensor, x) if inplace else _like(x)


def _with_inplace_at(position: int) -> Shortcut:
    """For functions whose argument at `position` says whether the input is overwritten."""

    def shortcut(x: Any, *rest: Any, **named: Any) -> Tensor | None:
        if len(rest) < position:
            return _elementwise(x, *rest, **named)
        return _elementwise(x, *rest, inplace=bool(rest[position - 1]), **named)

    return shortcut


def _binary(x: Any, y: Any) -> Tensor | None:
    if isinstance(y, (int, float)):
        return _like(x) if _is_plain(x) else None
    if not _is_plain(x) or not _is_plain(y, x.dtype):
        return None
    if x.shape == y.shape and x.stride() == y.stride():
        return _like(x)
    if x.dim() != y.dim() or not x.is_contiguous() or not y.is_contiguous():
        return None
    if not all(one == other or 1 in (one, other) for one, other in zip(x.shape, y.shape, strict=True)):
        return None
    return _empty([other if one == 1 else one for one, other in zip(x.shape, y.shape, strict=True)], x.dtype)


def _batch_norm(
    x: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    *_: Any,
    **__: Any,
) -> Tensor | None:
    if training or running_mean is None or running_var is None or not _is_plain(x) or x.dim() < 2:
        return None
    return _like(x) if _are_plain_vectors(x.dtype, x.shape[1], running_mean, running_var, weight, bias) else None


def _layer_norm(
    x: Any, shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, *_: Any, **__: Any
) -> Tensor | None:
    shape = tuple(shape)
    if not _is_plain(x) or not x.is_contiguous() or not shape or tuple(x.shape[-len(shape) :]) != shape:
        return None
    fitting = all(t is None or (_is_plain(t, x.dtype) and tuple(t.shape) == shape) for t in (weight, bias))
    return _like(x) if fitting else None


def _linear(x: Any, weight: Any, bias: Tensor | None = None) -> Tensor | None:
    if not _is_plain(x) or not x.is_contiguous() or x.dim() < 2 or not _is_plain(weight, x.dtype):
        return None
    if weight.dim() != 2 or x.shape[-1] != weight.shape[1] or not _are_plain_vectors(x.dtype, weight.shape[0], bias):
        return None
    return _empty((*x.shape[:-1], weight.shape[0]), x.dtype)


def _global_pool(x: Any, output_size: Any) -> Tensor | None:
    if output_size not in (1, (1, 1), [1, 1]) or not _is_plain(x) or x.dim() != 4:
        return None
    return _empty((*x.shape[:2], 1, 1), x.dtype) if x.is_contiguous() and x.numel() else None


def _concatenation(tensors: Any, dim: int = 0) -> Tensor | None:
    if type(tensors) not in (list, tuple) or not tensors or type(dim) is not int:
        return None
    first = tensors[0]
    if not all(_is_plain(t, getattr(first, "dtype", None)) and t.is_contiguous() for t in tensors):
        return None
    if not -first.dim() <= dim < first.dim():
        return None
    shape = list(first.shape)
    shape[dim] = sum(t.shape[dim] for t in tensors if t.dim() == first.dim())
    fitting = all(t.dim() == first.dim() and [*t.shape][:dim] == shape[:dim] for t in tensors)
    rest = dim % first.dim() + 1
    return _empty(shape, first.dtype) if fitting and all([*t.shape][rest:] == shape[rest:] for t in tensors) else None


def _of_batch_norm(layer: Any, x: Any) -> Tensor | None:
    if layer.training or layer.running_mean is None or not isinstance(x, Tensor):
        return None
    layer._check_input_dim(x)
    return _batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)


def _of_activation(layer: Any, x: Any) -> Tensor | None:
    return _elementwise(x, inplace=getattr(layer, "inplace", False))


_FUNCTIONS: dict[Any, Shortcut] = {
    F.batch_norm: _batch_norm,
    F.layer_norm: _layer_norm,
    F.linear: _linear,
    F.adaptive_avg_pool2d: _global_pool,
    torch.cat: _concatenation,
    **dict.fromkeys((F.relu, F.relu6, F.hardswish, F.hardsigmoid, F.silu, F.mish), _with_inplace_at(1)),
    F.leaky_relu: _with_inplace_at(2),
    F.elu: _with_inplace_at(2),
    F.hardtanh: _with_inplace_at(3),
    **dict.fromkeys((F.gelu, torch.relu, torch.sigmoid, torch.tanh), _elementwise),
    **dict.fromkeys((Tensor.relu, Tensor.sigmoid, Tensor.tanh, Tensor.clamp), _elementwise),
    **dict.fromkeys((torch.add, torch.sub, torch.mul, torch.div), _binary),
    **dict.fromkeys((Tensor.add, Tensor.sub, Tensor.mul, Tensor.div), _binary),
}

_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.SiLU, nn.Mish, nn.LeakyReLU, nn.ELU, nn.GELU,
    nn.Sigmoid, nn.Tanh,
)  # fmt: skip

_FORWARDS: dict[Any, Shortcut] = {
    **{cls.forward: _of_activation for cls in _ACTIVATIONS},
    _BatchNorm.forward: _of_batch_norm,
    nn.LayerNorm.forward: lambda layer, x: _layer_norm(x, layer.normalized_shape, layer.weight, layer.bias),
    nn.Linear.forward: lambda layer, x: _linear(x, layer.weight, layer.bias),
    nn.AdaptiveAvgPool2d.forward: lambda layer, x: _global_pool(x, layer.output_size),
}
