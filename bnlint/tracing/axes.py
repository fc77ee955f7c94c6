"""Follows an axis through operators that only move values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx

from bnlint.tracing.arguments import argument
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name

ELEMENTWISE = frozenset({Role.ACTIVATION, Role.DROPOUT})
"""Roles that treat every value by itself, so that axes stay."""

SAME_AXES = frozenset({
    "contiguous", "clone", "detach", "to", "type", "type_as", "float", "double", "half", "bfloat16", "cuda", "cpu",
    "alias", "identity", "Identity", "Sequential", "_to_copy", "data", "requires_grad", "lift_fresh_copy",
    "lift_fresh", "pin_memory",
})  # fmt: skip
_BY_SHAPE = frozenset({
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "Flatten", "Unflatten", "view_as", "reshape_as",
    "unsafe_view", "_unsafe_view", "_reshape_alias",
})  # fmt: skip
_REPEATS = frozenset({"expand", "expand_as", "broadcast_to", "repeat", "tile"})
"""Operators that leave an axis alone if they leave its size alone."""

_SWAPS = frozenset({"transpose", "swapaxes", "swapdims"})
_MOVES = frozenset({"movedim", "moveaxis"})


def step_back(node: fx.Node, role: Role, axis: int, shape: Sequence[int], before: Sequence[int]) -> int | None:
    """Follow an axis through an operator that moves values, against the flow.

    Args:
        node: The operator.
        role: Its role: a move, a part, an activation or a dropout.
        axis: An axis of its result, from 0.
        shape: Shape of its result.
        before: Shape of its first argument.

    Returns:
        The axis of the first argument that becomes `axis`; `None` where it cannot be told.
    """
    name = node.meta.get("operator") or _name(node)
    if role in ELEMENTWISE or name in SAME_AXES:
        return axis if len(shape) == len(before) else None
    if name == "permute":
        return _permuted(node, axis, len(before))
    if name in _SWAPS:
        return _swapped(node, axis, len(shape))
    if name in _MOVES:
        return _moved(node, axis, len(shape))
    if name in ("t", "T", "mT") and (name == "mT" or len(shape) == 2):
        last, other = len(shape) - 1, len(shape) - 2
        return {last: other, other: last}.get(axis, axis)
    if name in _BY_SHAPE:
        return _same_place(axis, shape, before)
    kept = len(shape) == len(before) and shape[axis] == before[axis]
    return axis if kept and (role is Role.PART or name in _REPEATS) else None


def _name(node: fx.Node) -> str:
    return str(node.args[1]) if node.target is getattr else operator_name(node.target)


def _swapped(node: fx.Node, axis: int, rank: int) -> int | None:
    dims = [*node.args[1:], *(value for name, value in node.kwargs.items() if name != "input")]
    if len(dims) != 2:
        return None
    first, second = (_number(dim, rank) for dim in dims)
    return {first: second, second: first}.get(axis, axis)


def _permuted(node: fx.Node, axis: int, rank: int) -> int | None:
    dims: Any = node.args[1] if len(node.args) == 2 and isinstance(node.args[1], (list, tuple)) else node.args[1:]
    dims = dims or node.kwargs.get("dims", ())
    return _number(dims[axis], rank) if len(dims) == rank else None


def _moved(node: fx.Node, axis: int, rank: int) -> int | None:
    """The axes that are not named keep their order and fill the places that are left."""
    sources, destinations = (
        [_number(dim, rank) for dim in (dims if isinstance(dims, (list, tuple)) else [dims])]
        for dims in (argument(node, 1, "source", ()), argument(node, 2, "destination", ()))
    )
    if not sources or len(sources) != len(destinations):
        return None
    left = iter(dim for dim in range(rank) if dim not in sources)
    before = dict(zip(destinations, sources, strict=True))
    return [before[place] if place in before else next(left) for place in range(rank)][axis]


def _number(dim: Any, rank: int) -> int:
    return int(dim) % rank


def _same_place(axis: int, shape: Sequence[int], before: Sequence[int]) -> int | None:
    """The axis before a reshape that covers the same elements: as large, with as many values after it."""
    inner = math.prod(shape[axis + 1 :])
    for candidate in range(len(before)):
        if before[candidate] == shape[axis] and math.prod(before[candidate + 1 :]) == inner:
            return candidate
    return None


def shape_of(node: fx.Node) -> tuple[int, ...] | None:
    """Shape of the value of a node, or of the first of several; `None` where no shapes were seen."""
    value = node.meta.get("val")
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], Tensor):
        value = value[0]
    return tuple(value.shape) if isinstance(value, Tensor) else None
