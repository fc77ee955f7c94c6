"""Parts of a value: slices, and the results of a split. Only the channels of the part take the affine."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy
from torch import Tensor, fx

from bnlint.folding.plan import Channels
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.steps import name_of
from bnlint.folding.uses import Uses
from bnlint.tracing.arguments import argument
from bnlint.tracing.axes import shape_of
from bnlint.tracing.roles import operator_name

_SPLITS = frozenset({"split", "chunk", "tensor_split", "split_with_sizes", "unsafe_chunk", "unsafe_split"})


@dataclass(frozen=True)
class Part:
    """Which places of a whole value a part holds.

    Attributes:
        whole: The node of the whole value.
        axes: For each axis of the part the axis of the whole, `None` for a new one of size 1.
        ranges: For each axis of the whole the places that are taken.
    """

    whole: fx.Node
    axes: tuple[int | None, ...]
    ranges: tuple[range, ...]


@dataclass(frozen=True)
class WholePlace:
    """Where the channels of a part lie in the value that it was taken from.

    Attributes:
        readers: The nodes that read the whole value.
        node: The node of the whole value.
        axis: Its channel axis.
        channels: The channel of the BatchNorm at each place along that axis, −1 beside the part.
    """

    readers: frozenset[fx.Node]
    node: fx.Node
    axis: int
    channels: Channels


def is_split(node: fx.Node) -> bool:
    """Whether a node gives several parts at once."""
    name = operator_name(node.target) if node.op in ("call_function", "call_method") else ""
    return name in _SPLITS or name == "unbind"


def before_part(node: fx.Node, axis: int, channels: Channels, uses: Uses) -> WholePlace:
    """Follow a part against the flow, where nothing else reads the same channels of the whole.

    Args:
        node: The node that takes the part.
        axis: The channel axis of the part.
        channels: The channels of the part.
        uses: Who uses what.

    Raises:
        CannotFoldError: If other code sees the same channels, or the part cannot be told.
    """
    part = part_of(node)
    whole_axis = None if part is None else part.axes[axis]
    if part is None or whole_axis is None:
        raise CannotFoldError("it follows {}, a part of another value", name_of(node))
    taken = part.ranges[whole_axis]
    readers = uses.value_users(part.whole)
    for reader in readers:
        for other in uses.value_users(reader) if is_split(reader) else [reader]:
            theirs = None if other is node else part_of(other)
            if other is not node and (theirs is None or set(theirs.ranges[whole_axis]) & set(taken)):
                raise CannotFoldError("the output of {} is used elsewhere too", name_of(part.whole))
    whole = numpy.full((shape_of(part.whole) or ())[whole_axis], -1)
    whole[list(taken)] = channels
    return WholePlace(frozenset(readers), part.whole, whole_axis, whole)


def after_part(node: fx.Node, axis: int, channels: Channels) -> tuple[int, Channels]:
    """The channel axis of a part, and the channels along it.

    Args:
        node: The node that takes the part.
        axis: The channel axis of the whole.
        channels: The channels of the whole.

    Raises:
        CannotFoldError: If the part cannot be told, or has no channel axis.
    """
    part = part_of(node)
    if part is None or axis not in part.axes:
        raise CannotFoldError("its channel axis cannot be followed through {}", name_of(node))
    return part.axes.index(axis), channels[list(part.ranges[axis])]


def part_of(node: fx.Node) -> Part | None:
    """Which places of which value a node takes; `None` where it takes no part, or numbers cannot tell which."""
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node):
        return None
    name = operator_name(node.target) if node.op in ("call_function", "call_method") else ""
    if node.target is operator.getitem:
        return _result_of_split(source, node.args[1]) if is_split(source) else _indexed(source, node.args[1])
    if name not in ("narrow", "select"):
        return None
    dim, start = argument(node, 1, "dim", None), argument(node, 2, "start" if name == "narrow" else "index", None)
    length = argument(node, 3, "length", None) if name == "narrow" else 1
    shape = _shape(source)
    if shape is None or not all(isinstance(number, int) for number in (dim, start, length)):
        return None
    start %= shape[dim]
    return _along(source, shape, dim % len(shape), range(start, start + length), dropped=name == "select")


def _shape(node: fx.Node) -> tuple[int, ...] | None:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _along(whole: fx.Node, shape: tuple[int, ...], dim: int, taken: range, dropped: bool = False) -> Part:
    ranges = tuple(taken if axis == dim else range(size) for axis, size in enumerate(shape))
    return Part(whole, tuple(axis for axis in range(len(shape)) if axis != dim or not dropped), ranges)


def _result_of_split(split: fx.Node, index: object) -> Part | None:
    whole, results = split.args[0] if split.args else None, split.meta.get("val")
    shape = _shape(whole) if isinstance(whole, fx.Node) else None
    if not isinstance(whole, fx.Node) or shape is None or not isinstance(index, int):
        return None
    if not isinstance(results, (tuple, list)):
        return None
    index %= len(results)
    if operator_name(split.target) == "unbind":
        return _along(whole, shape, argument(split, 1, "dim", 0) % len(shape), range(index, index + 1), dropped=True)
    dim = argument(split, 2, "dim", 0) % len(shape)
    start = sum(int(result.shape[dim]) for result in results[:index])
    return _along(whole, shape, dim, range(start, start + int(results[index].shape[dim])))


def _indexed(whole: fx.Node, index: object) -> Part | None:
    """Slices, numbers, new axes and an ellipsis; not lists and tensors."""
    shape = _shape(whole)
    items = list(index) if isinstance(index, tuple) else [index]
    if shape is None or items.count(Ellipsis) > 1:
        return None
    missing = len(shape) - sum(item is not None and item is not Ellipsis for item in items)
    place = items.index(Ellipsis) if Ellipsis in items else len(items)
    items[place : place + 1] = [slice(None)] * missing
    axes: list[int | None] = []
    ranges: list[range] = []
    for item in items:
        if item is None:
            axes.append(None)
        elif isinstance(item, slice) and all(
            isinstance(n, (int, type(None))) for n in (item.start, item.stop, item.step)
        ):
            axes.append(len(ranges))
            ranges.append(range(*item.indices(shape[len(ranges)])))
        elif type(item) is int:
            ranges.append(range(item % shape[len(ranges)], item % shape[len(ranges)] + 1))
        else:
            return None
    return Part(whole, tuple(axes), tuple(ranges))
