"""Operators with one input through which a per-channel affine passes: `f(s·x + t) = s·f(x) + t`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor, fx, nn
from torch.nn.modules.padding import _CircularPadNd, _ReflectionPadNd, _ReplicationPadNd
from torch.nn.modules.pooling import _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

from bnlint.folding.plan import Channels
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.sums import adds_nothing
from bnlint.tracing.arguments import argument
from bnlint.tracing.axes import shape_of, step_back
from bnlint.tracing.dropout import dropout_of
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import Trace

_PADS_WITH_OWN_VALUES = (_CircularPadNd, _ReflectionPadNd, _ReplicationPadNd)
_ADAPTIVE_AVERAGES = frozenset({"adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"})
_AVERAGES = frozenset({"avg_pool1d", "avg_pool2d", "avg_pool3d"})
_MAXIMA = frozenset({"max_pool1d", "max_pool2d", "max_pool3d"})
_ADAPTIVE_MAXIMA = frozenset({"adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"})


@dataclass(frozen=True)
class Place:
    """Where the channels of a BatchNorm lie in a value.

    Attributes:
        node: The node of the value.
        axis: Its channel axis.
        channels: The channel of the BatchNorm at each place along that axis, −1 for none.
    """

    node: fx.Node
    axis: int
    channels: Channels


def name_of(node: fx.Node) -> str:
    """A node as reasons and tables name it: the path of a layer, or the bare name of an operator."""
    if node.op == "output":
        return "the output of the model"
    return str(node.target) if node.op == "call_module" else operator_name(node.target)


class Steps:
    """Follows a place against the flow, one operator at a time.

    Args:
        trace: The graph.
        gone: Calls of BatchNorms that are folded already: nothing happens there any more.
        positive: Whether the scale of the BatchNorm is known to be positive in every channel, so that maxima stay.
    """

    def __init__(self, trace: Trace, gone: Collection[fx.Node], positive: bool) -> None:
        self._trace = trace
        self._gone = gone
        self._positive = positive

    def passes(self, node: fx.Node) -> bool:
        """Whether an operator is one of these."""
        role = self._role(node)
        linear = self._is_linear_operator(node) or self._padded_axes(node) is not None
        return role is Role.MOVE or linear or self._is_maximum(node)

    def back(self, node: fx.Node, axis: int, channels: Channels) -> Place:
        """The place before an operator.

        Args:
            node: An operator that `passes`.
            axis: The channel axis of its result.
            channels: The channels along it.

        Raises:
            CannotFoldError: With the reason.
        """
        if has_hook(node, self._trace):
            raise CannotFoldError("{} has a forward hook", name_of(node))
        source = node.args[0] if node.args else None
        shape = shape_of(node)
        before = shape_of(source) if isinstance(source, fx.Node) else None
        if not isinstance(source, fx.Node) or shape is None or before is None:
            raise CannotFoldError("the shapes at {} are not known", name_of(node))
        if is_lossy(source, node):
            raise CannotFoldError("{} casts it to {}", name_of(node), node.meta["val"].dtype)
        name = node.meta.get("operator") or operator_name(node.target)
        if name in ("pixel_shuffle", "PixelShuffle"):
            return _before_pixel_shuffle(source, axis, channels, before)
        if name in ("channel_shuffle", "ChannelShuffle"):
            return Place(source, axis, _unshuffled(channels, self._groups(node)))
        back = self._axis_before(node, axis, shape, before)
        if back is None or before[back] != len(channels):
            raise CannotFoldError("its channel axis cannot be followed through {}", name_of(node))
        return Place(source, back, channels)

    def _axis_before(self, node: fx.Node, axis: int, shape: tuple[int, ...], before: tuple[int, ...]) -> int | None:
        role = self._role(node)
        if role is Role.MOVE:
            unchanged = node in self._gone or adds_nothing(node) or node.meta["role"] is Role.DROPOUT
            return step_back(node, Role.DROPOUT if unchanged else role, axis, shape, before)
        if operator_name(node.target) in ("mean", "amax") and node.op != "call_module":
            return _axis_before_reduction(node, axis, len(before))
        padded = self._padded_axes(node)
        if padded is not None:
            return axis if axis < len(before) - padded else None
        dimensions = self._pooled_dimensions(node)
        batched = dimensions is None or is_batched(node, dimensions)
        return axis if axis == 1 and batched and len(shape) == len(before) else None

    def _padded_axes(self, node: fx.Node) -> int | None:
        """How many of the last axes are padded with values of the map itself; `None` for other operators."""
        if node.op == "call_module":
            module = self._module(node)
            return len(module.padding) // 2 if isinstance(module, _PADS_WITH_OWN_VALUES) else None
        own = argument(node, 2, "mode", "constant") in ("reflect", "replicate", "circular")
        widths = argument(node, 1, "pad", ())
        return len(widths) // 2 if own and operator_name(node.target) == "pad" else None

    def _pooled_dimensions(self, node: fx.Node) -> int | None:
        """How many axes a pooling works on; `None` for other operators."""
        names = [operator_name(node.target)]
        if node.op == "call_module":
            names = [base.__name__ for base in type(self._module(node)).__mro__]
        found = [match for name in names if (match := re.search(r"pool([123])d$", name, re.IGNORECASE))]
        return int(found[0][1]) if found else None

    def _role(self, node: fx.Node) -> Role:
        role: Role = node.meta.get("role", Role.UNKNOWN)
        if node in self._gone or adds_nothing(node):
            return Role.MOVE
        dropout = dropout_of(node, self._trace.attributes) if role is Role.DROPOUT else None
        return Role.MOVE if dropout is not None and not dropout.active else role

    def _module(self, node: fx.Node) -> nn.Module:
        module: nn.Module = self._trace.attributes[str(node.target)]
        return module

    def _groups(self, node: fx.Node) -> int:
        return int(self._module(node).groups if node.op == "call_module" else argument(node, 1, "groups", 1))  # type: ignore[arg-type]

    def _is_linear_operator(self, node: fx.Node) -> bool:
        """Means and interpolations: their weights sum to 1, so a shift passes unchanged."""
        if node.op == "call_module":
            module = self._module(node)
            if isinstance(module, _AvgPoolNd):
                padded = bool(numpy.any(module.padding)) and module.count_include_pad  # type: ignore[arg-type]
                return not padded and getattr(module, "divisor_override", None) is None
            return isinstance(module, (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.Upsample))
        name = operator_name(node.target)
        if name in _AVERAGES:
            padded = bool(numpy.any(argument(node, 3, "padding", 0))) and argument(node, 5, "count_include_pad", True)
            return not padded and argument(node, 6, "divisor_override", None) is None
        return name in _ADAPTIVE_AVERAGES or name in ("mean", "interpolate", "upsample")

    def _is_maximum(self, node: fx.Node) -> bool:
        if not self._positive:
            return False
        if node.op == "call_module":
            module = self._module(node)
            return isinstance(module, (_MaxPoolNd, _AdaptiveMaxPoolNd)) and not module.return_indices
        name = operator_name(node.target)
        if name in _ADAPTIVE_MAXIMA:
            return not argument(node, 2, "return_indices", False)
        return name == "amax" or (name in _MAXIMA and not argument(node, 6, "return_indices", False))


def has_hook(node: fx.Node, trace: Trace) -> bool:
    """Whether a forward hook sees the values of a call of a layer."""
    module = trace.attributes[str(node.target)] if node.op == "call_module" else None
    return module is not None and bool(module._forward_hooks or module._forward_pre_hooks)


def is_lossy(source: fx.Node, node: fx.Node) -> bool:
    """Whether an operator casts its input to a data type that holds less."""
    before, after = source.meta.get("val"), node.meta.get("val")
    if not isinstance(before, Tensor) or not isinstance(after, Tensor) or before.dtype == after.dtype:
        return False
    return torch.promote_types(before.dtype, after.dtype) != after.dtype


def is_batched(node: fx.Node, dimensions: int) -> bool:
    """Whether the result of a layer over so many axes has a batch axis before its channels."""
    return len(shape_of(node) or ()) == dimensions + 2


def _axis_before_reduction(node: fx.Node, axis: int, rank: int) -> int | None:
    dims = argument(node, 1, "dim", None)
    if dims is None:
        return None
    reduced = {int(dim) % rank for dim in (dims if isinstance(dims, (list, tuple)) else [dims])}
    left = range(rank) if argument(node, 2, "keepdim", False) else [dim for dim in range(rank) if dim not in reduced]
    return left[axis] if axis < len(left) and left[axis] not in reduced else None


def _before_pixel_shuffle(source: fx.Node, axis: int, channels: Channels, before: tuple[int, ...]) -> Place:
    factor = before[-3] // len(channels)  # (N, C·r², H, W) becomes (N, C, H·r, W·r)
    if axis != len(before) - 3:
        raise CannotFoldError("its channel axis cannot be followed through the pixel shuffle")
    return Place(source, axis, numpy.repeat(channels, factor))


def _unshuffled(channels: Channels, groups: int) -> Channels:
    order = numpy.arange(len(channels)).reshape(groups, -1).T.reshape(-1)
    before = numpy.empty_like(channels)
    before[order] = channels
    return before
