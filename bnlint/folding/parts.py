"""Parts of a value along its channel axis: only the channels of the part take the affine."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy
from torch import fx

from bnlint.folding.plan import Channels
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.steps import name_of
from bnlint.folding.uses import Uses
from bnlint.tracing.arguments import argument
from bnlint.tracing.axes import shape_of
from bnlint.tracing.roles import operator_name

_SPLITS = frozenset({"split", "chunk", "tensor_split", "split_with_sizes", "unsafe_chunk", "unsafe_split"})


@dataclass(frozen=True)
class WholePlace:
    """The value that a part was taken from.

    Attributes:
        readers: The nodes that read the whole value.
        node: The node of the whole value.
        channels: The channel of the BatchNorm at each place along its channel axis, −1 beside the part.
    """

    readers: frozenset[fx.Node]
    node: fx.Node
    channels: Channels


def before_part(node: fx.Node, axis: int, channels: Channels, uses: Uses) -> WholePlace:
    """Follow one part of a split, or a slice whose neighbours are slices of other channels.

    Args:
        node: The node that takes the part.
        axis: The channel axis, the same in the part and in the whole.
        channels: The channels of the part.
        uses: Who uses what.

    Raises:
        CannotFoldError: If other code sees the same channels, or the part cannot be told.
    """
    source = node.args[0] if node.args else None
    if node.target is not operator.getitem or not isinstance(source, fx.Node):
        raise CannotFoldError("it follows {}, a part of another value", name_of(node))
    if operator_name(source.target) in _SPLITS and isinstance(node.args[1], int):
        return _part_of_split(source, node.args[1], axis, channels)
    return _slice(node, source, axis, channels, uses)


def _part_of_split(split: fx.Node, index: int, axis: int, channels: Channels) -> WholePlace:
    whole, results = split.args[0], split.meta.get("val")
    shape = shape_of(whole) if isinstance(whole, fx.Node) else None
    if not isinstance(whole, fx.Node) or shape is None or not isinstance(results, (tuple, list)):
        raise CannotFoldError("the shapes at {} are not known", name_of(split))
    if int(argument(split, 2, "dim", 0)) % len(shape) != axis:
        raise CannotFoldError("{} does not split the channels", name_of(split))
    index %= len(results)
    start = sum(int(result.shape[axis]) for result in results[:index])
    return WholePlace(frozenset({split}), whole, _within(shape[axis], start, channels))


def _slice(node: fx.Node, whole: fx.Node, axis: int, channels: Channels, uses: Uses) -> WholePlace:
    shape = shape_of(whole)
    bounds = None if shape is None else _bounds(node, axis, shape)
    if shape is None or bounds is None:
        raise CannotFoldError("it follows {}, a part of another value", name_of(node))
    readers = uses.value_users(whole)
    for other in readers:
        theirs = None if other is node else _bounds(other, axis, shape)
        if other is not node and (theirs is None or (theirs[0] < bounds[1] and bounds[0] < theirs[1])):
            raise CannotFoldError("the output of {} is used elsewhere too", name_of(whole))
    return WholePlace(frozenset(readers), whole, _within(shape[axis], bounds[0], channels))


def _bounds(node: fx.Node, axis: int, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """First and last channel of a slice along the channel axis that takes all of the other axes, else `None`."""
    if node.target is not operator.getitem:
        return None
    index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    if Ellipsis in index or len(index) <= axis or not all(isinstance(item, slice) for item in index):
        return None
    whole = [item == slice(None) for item in index]
    chosen = index[axis]
    if not all(whole[:axis] + whole[axis + 1 :]) or not isinstance(chosen, slice) or chosen.step not in (None, 1):
        return None
    start, stop, _ = slice(chosen.start, chosen.stop).indices(shape[axis])
    return start, stop


def _within(size: int, start: int, channels: Channels) -> Channels:
    whole = numpy.full(size, -1)
    whole[start : start + len(channels)] = channels
    return whole
