"""Gives the calls of a run other tensors than those that the model holds: in float64, or as they will be.

A tensor is made when a call uses it and gone after the call, so that no second copy of the weights ever exists; and it
is reached wherever it lives: in the module tree, in a plain list, in a closure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from bnlint.tracing.emission import emission_of

Made = Mapping[int, Callable[[], Tensor]]
"""What makes the value of a tensor, by the identity of the tensor."""

_NARROW = frozenset({torch.float16, torch.bfloat16, torch.float32})
_CASTS = frozenset({"float", "half", "bfloat16"})
_ABOUT_SHAPES = frozenset({
    "dim", "ndimension", "size", "stride", "numel", "nelement", "is_contiguous", "is_floating_point", "is_complex",
    "get_device", "__len__", "__hash__",
})  # fmt: skip


def is_narrow(tensor: Tensor) -> bool:
    """Whether float64 holds more than the data type of a floating-point tensor."""
    return tensor.dtype in _NARROW


class Substitution(TorchFunctionMode):
    """Replaces the tensors that each call is given.

    Args:
        made: What makes the tensors that are to be replaced.
        in_double: Whether every other floating-point tensor, and every data type that a call names, becomes float64.
    """

    def __init__(self, made: Made, in_double: bool) -> None:
        super().__init__()
        self._made = made
        self._in_double = in_double

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        emission = emission_of(func)
        if emission.name in _ABOUT_SHAPES:
            return func(*args, **kwargs)
        if not emission.op and not emission.writes:
            return self._attribute(func, args)
        if self._in_double and emission.op == "call_method" and emission.name in _CASTS:
            return self._instead(args[0])
        written = args[:1] if emission.writes else ()  # what is written to stays the tensor that it is
        given = self._all(args[len(written) :])
        named = {name: value if name == "out" else self._all(value) for name, value in kwargs.items()}
        return func(*written, *given, **named)

    def _attribute(self, func: Any, args: Any) -> Any:
        value = func(*args)
        if isinstance(value, Tensor):  # `weight.T` is a view of what the call should have
            return func(*self._all(args))
        return self._instead(value)

    def _all(self, values: Any) -> Any:
        return tree_map(self._instead, values)

    def _instead(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            make = self._made.get(id(value))
            if make is not None:
                return make()
            return value.double() if self._in_double and is_narrow(value) else value
        if self._in_double and isinstance(value, torch.dtype) and value in _NARROW:
            return torch.float64
        return value
