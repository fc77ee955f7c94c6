"""Folds the affine of a BatchNorm into what comes after it: all users of its output at once."""

from __future__ import annotations

from collections.abc import Collection

import numpy
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from bnlint.folding.carriers import carrier_of, geometry_of
from bnlint.folding.concatenations import concatenated, concatenation_axis
from bnlint.folding.parts import after_part, is_split, part_of
from bnlint.folding.plan import Change, Channels, Side
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.steps import Steps, is_batched, name_of
from bnlint.folding.uses import Uses
from bnlint.folding.wanted import Wanted
from bnlint.tracing.axes import shape_of
from bnlint.tracing.kinds import Role
from bnlint.tracing.trace import Trace


class Downstream:
    """Walks with the flow until every user has taken the affine.

    Args:
        trace: The graph.
        uses: Who uses what.
        gone: Calls of BatchNorms that are folded already.
        positive: Whether the scale is known to be positive in every channel.
    """

    def __init__(self, trace: Trace, uses: Uses, gone: Collection[fx.Node], positive: bool = False) -> None:
        self._trace = trace
        self._uses = uses
        self._steps = Steps(trace, gone, positive)

    def absorb(self, node: fx.Node, axis: int, channels: Channels) -> tuple[list[Wanted], list[str]]:
        """Have every reader of a value take the affine of its channels.

        Args:
            node: The node of the value.
            axis: Its channel axis.
            channels: The channel of the BatchNorm at each place along that axis.

        Returns:
            What is wanted of the carriers, and the names of the operators on the way.

        Raises:
            CannotFoldError: With the reason.
        """
        through: list[str] = []
        return self._absorb(node, axis, channels, through), through

    def _absorb(self, node: fx.Node, axis: int, channels: Channels, through: list[str]) -> list[Wanted]:
        users = self._uses.value_users(node)
        if not users:
            raise CannotFoldError("nothing uses its output")
        wanted = [one for user in users for one in self._take(user, node, axis, channels, through)]
        if node.meta.get("written_by"):
            raise CannotFoldError("its output is changed in place")  # without it, that would reach its input
        return wanted

    def _take(self, user: fx.Node, node: fx.Node, axis: int, channels: Channels, through: list[str]) -> list[Wanted]:
        role: Role = user.meta.get("role", Role.UNKNOWN)
        if role is Role.CONCATENATION:
            through.append(name_of(user))
            return self._absorb(user, axis, _within_concatenation(user, node, axis, channels), through)
        if not user.args or user.args[0] is not node:
            raise CannotFoldError(f"it feeds {{}} ({role})", name_of(user))
        if role is Role.LINEAR:
            return [Wanted(user, self._linear(user, node, axis, channels))]
        if role is Role.CONVOLUTION:
            return [Wanted(user, self._convolution(user, axis, channels))]
        if self._steps.passes(user):
            through.append(name_of(user))
            return self._absorb(user, self._axis_after(user, axis, channels), channels, through)
        if is_split(user) or part_of(user) is not None:
            through.append(name_of(user))
            return self._take_parts(user, axis, channels, through)
        raise CannotFoldError(f"it feeds {{}} ({role})", name_of(user))

    def _take_parts(self, user: fx.Node, axis: int, channels: Channels, through: list[str]) -> list[Wanted]:
        wanted: list[Wanted] = []
        for part in self._uses.value_users(user) if is_split(user) else [user]:
            wanted += self._absorb(part, *after_part(part, axis, channels), through)
        return wanted

    def _axis_after(self, user: fx.Node, axis: int, channels: Channels) -> int:
        """The axis after an operator, found by following each candidate back."""
        for candidate, size in enumerate(shape_of(user) or ()):
            if size == len(channels):
                place = self._steps.back(user, candidate, channels)
                if place.axis == axis and numpy.array_equal(place.channels, channels):
                    return candidate
        raise CannotFoldError("its channel axis cannot be followed through {}", name_of(user))

    def _linear(self, user: fx.Node, node: fx.Node, axis: int, channels: Channels) -> Change:
        path, module = carrier_of(user, self._uses, self._trace)
        shape = shape_of(node) or ()
        if not isinstance(module, nn.Linear) or axis != len(shape) - 1 or module.in_features != len(channels):
            raise CannotFoldError("its channels are not the features of {}", path)
        return Change(path, Side.INPUT, channels)

    def _convolution(self, user: fx.Node, axis: int, channels: Channels) -> Change:
        path, module = carrier_of(user, self._uses, self._trace)
        if not isinstance(module, _ConvNd) or isinstance(module, _ConvTransposeNd):
            raise CannotFoldError("it feeds {}, a transposed convolution", path)
        if not is_batched(user, len(module.kernel_size)) or axis != 1 or module.in_channels != len(channels):
            raise CannotFoldError("its channels are not the channels of {}", path)
        geometry = geometry_of(user, module)
        pads = geometry.padding == "same" or (geometry.padding != "valid" and any(geometry.padding))
        if pads and geometry.zeros:
            raise CannotFoldError("{} pads with zeros, which the shift would have to follow", path)
        return Change(path, Side.INPUT, channels)


def _within_concatenation(concatenation: fx.Node, node: fx.Node, axis: int, channels: Channels) -> Channels:
    """The channels along a concatenation, −1 for those of the other values."""
    parts, shape = concatenated(concatenation), shape_of(concatenation)
    if parts is None or shape is None or concatenation_axis(concatenation) != axis:
        raise CannotFoldError("its channel axis cannot be followed through {}", name_of(concatenation))
    whole = numpy.full(shape[axis], -1)
    for part, start, size in parts:
        if part is node:
            whole[start : start + size] = channels
    return whole
