"""Follows the channel axis of a normalisation call up to the layer that made the channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx

from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import NormCall

_LAST = frozenset({Role.LINEAR, Role.EMBEDDING, Role.RECURRENT, Role.ATTENTION})
"""Roles that put their features on the last axis."""

_ELEMENTWISE = frozenset({Role.ACTIVATION, Role.DROPOUT})
_SAME_AXES = frozenset({
    "contiguous", "clone", "detach", "to", "type", "type_as", "float", "double", "half", "bfloat16", "cuda", "cpu",
    "alias", "identity", "Identity", "_to_copy", "data", "roll", "flip", "requires_grad", "lift_fresh_copy",
})  # fmt: skip
_BY_SHAPE = frozenset({
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "Flatten", "Unflatten", "view_as", "reshape_as",
    "unsafe_view", "_unsafe_view", "_reshape_alias",
})  # fmt: skip
_SWAPS = frozenset({"transpose", "swapaxes", "swapdims"})


def channel_axis_is_feature_axis(call: NormCall, axis: int | None) -> Maybe[bool | None]:
    """Whether a call normalises the axis on which the layer upstream puts its channels or features.

    Sizes may agree by accident: `nn.Linear(64, 64)` on (N, 64, 64), then `nn.BatchNorm1d(64)`, normalises positions.

    Args:
        call: The call.
        axis: The axis of its input that it normalises by channel, from 0.

    Returns:
        Null where no convolution, linear, embedding or recurrent layer is next upstream, so that there is nothing to
        compare with; unknown where the way there cannot be followed.
    """
    node = call.input_node
    if node is None or axis is None:
        return UNKNOWN if axis is not None else None
    while True:
        shape = _shape(node)
        if shape is None:
            return UNKNOWN
        role = node.meta.get("role", Role.UNKNOWN)
        made = _feature_axis(role, len(shape))
        if made is not None:
            return axis == made
        source = _source(node, role)
        if source is None:
            return None
        before = _shape(source)
        back = None if before is None else _step_back(node, role, axis, shape, before)
        if back is None:
            return UNKNOWN
        node, axis = source, back


def _feature_axis(role: Role, rank: int) -> int | None:
    if role in (Role.CONVOLUTION, Role.TRANSPOSED_CONVOLUTION):
        return 1 if rank > 2 else 0
    return rank - 1 if role in _LAST else None


def _source(node: fx.Node, role: Role) -> fx.Node | None:
    """The one input whose values go through; `None` where values are mixed or made anew."""
    if role not in _ELEMENTWISE and role not in (Role.MOVE, Role.PART):
        return None
    first = node.args[0] if node.args else None
    return first if isinstance(first, fx.Node) else None


def _step_back(node: fx.Node, role: Role, axis: int, shape: Sequence[int], before: Sequence[int]) -> int | None:
    """The axis before an operator that becomes `axis` after it; `None` where it cannot be told."""
    name = operator_name(node.target)
    if role in _ELEMENTWISE or name in _SAME_AXES:
        return axis if len(shape) == len(before) else None
    if name in ("permute", "movedim", "moveaxis"):
        return _permuted(node, axis, len(before)) if name == "permute" else None
    if name in _SWAPS:
        first, second = (_number(argument, len(shape)) for argument in node.args[1:3])
        return {first: second, second: first}.get(axis, axis)
    if name in ("t", "T", "mT"):
        last, other = len(shape) - 1, len(shape) - 2
        return {last: other, other: last}.get(axis, axis)
    if name in _BY_SHAPE or node.op == "call_module":
        return _same_place(axis, shape, before)
    return axis if shape[axis : axis + 1] == before[axis : axis + 1] and len(shape) == len(before) else None


def _permuted(node: fx.Node, axis: int, rank: int) -> int | None:
    dims: Any = node.args[1] if len(node.args) == 2 and isinstance(node.args[1], (list, tuple)) else node.args[1:]
    dims = dims or node.kwargs.get("dims", ())
    return _number(dims[axis], rank) if len(dims) == rank else None


def _number(argument: Any, rank: int) -> int:
    return int(argument) % rank


def _same_place(axis: int, shape: Sequence[int], before: Sequence[int]) -> int | None:
    """The axis before a reshape that covers the same elements: as large, with as many values after it."""
    inner = math.prod(shape[axis + 1 :])
    for candidate in range(len(before)):
        if before[candidate] == shape[axis] and math.prod(before[candidate + 1 :]) == inner:
            return candidate
    return None


def _shape(node: fx.Node) -> tuple[int, ...] | None:
    value = node.meta.get("val")
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], Tensor):
        value = value[0]
    return tuple(value.shape) if isinstance(value, Tensor) else None
