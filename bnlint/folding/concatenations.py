"""Concatenations, as folding reads them."""

from __future__ import annotations

from torch import fx

from bnlint.tracing.arguments import argument
from bnlint.tracing.axes import shape_of
from bnlint.tracing.roles import operator_name

_NAMES = frozenset({"cat", "concat", "concatenate"})


def concatenation_axis(node: fx.Node) -> int | None:
    """The axis along which a node puts values one after the other, from 0; `None` where it does something else."""
    shape = shape_of(node)
    if shape is None or operator_name(node.target) not in _NAMES:
        return None
    axis = argument(node, 1, "dim", argument(node, 1, "axis", 0))
    return axis % len(shape) if isinstance(axis, int) else None


def concatenated(node: fx.Node) -> list[tuple[fx.Node, int, int]] | None:
    """What a node puts one after the other.

    Args:
        node: A concatenation.

    Returns:
        For each value its node, where it starts along the axis of the concatenation, and its size there; `None` where
        they cannot be told.
    """
    axis, values = concatenation_axis(node), argument(node, 0, "tensors", None)
    if axis is None or not isinstance(values, (list, tuple)):
        return None
    parts: list[tuple[fx.Node, int, int]] = []
    start = 0
    for value in values:
        shape = shape_of(value) if isinstance(value, fx.Node) else None
        if not isinstance(value, fx.Node) or shape is None or len(shape) <= axis:
            return None
        parts.append((value, start, shape[axis]))
        start += shape[axis]
    return parts
