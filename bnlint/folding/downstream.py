"""Folds the affine of a BatchNorm into what comes after it: all users of its output at once."""

from __future__ import annotations

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from bnlint.folding.carriers import carrier_of
from bnlint.folding.plan import Change, Channels, Side
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.uses import Uses
from bnlint.tracing.axes import shape_of, step_back
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import Trace


class Downstream:
    """Walks with the flow until every user has taken the affine.

    Args:
        trace: The graph.
        uses: Who uses what.
    """

    def __init__(self, trace: Trace, uses: Uses) -> None:
        self._trace = trace
        self._uses = uses

    def absorb(self, node: fx.Node, axis: int, channels: Channels) -> tuple[list[Change], list[str]]:
        """Have every reader of a value take the affine of its channels.

        Args:
            node: The node of the value.
            axis: Its channel axis.
            channels: The channel of the BatchNorm at each place along that axis.

        Returns:
            The changes, and the names of the operators on the way.

        Raises:
            CannotFoldError: With the reason.
        """
        users = self._uses.value_users(node)
        if not users:
            raise CannotFoldError("nothing uses its output")
        changes: list[Change] = []
        through: list[str] = []
        for user in users:
            changes += self._take(user, node, axis, channels, through)
        return changes, through

    def _take(self, user: fx.Node, node: fx.Node, axis: int, channels: Channels, through: list[str]) -> list[Change]:
        role: Role = user.meta.get("role", Role.UNKNOWN)
        if not user.args or user.args[0] is not node:
            raise CannotFoldError(f"it feeds {self._name(user)} ({role})")
        if role is Role.LINEAR:
            return [self._linear(user, node, axis, channels)]
        if role is Role.CONVOLUTION:
            return [self._convolution(user, axis, channels)]
        if role is Role.MOVE or (role is Role.DROPOUT and self._inactive(user)):
            through.append(self._name(user))
            after = self._forward(user, node, axis, len(channels))
            further, names = self.absorb(user, after, channels)
            through += names
            return further
        raise CannotFoldError(f"it feeds {self._name(user)} ({role})")

    def _forward(self, user: fx.Node, node: fx.Node, axis: int, count: int) -> int:
        """The axis after an operator, found by following each candidate back."""
        shape, before = shape_of(user), shape_of(node)
        if shape is None or before is None:
            raise CannotFoldError("the shapes on the way are not known")
        for candidate, size in enumerate(shape):
            if size == count and step_back(user, user.meta["role"], candidate, shape, before) == axis:
                return candidate
        raise CannotFoldError(f"its channel axis cannot be followed through {self._name(user)}")

    def _linear(self, user: fx.Node, node: fx.Node, axis: int, channels: Channels) -> Change:
        path, module = carrier_of(user, self._uses, self._trace)
        shape = shape_of(node) or ()
        if not isinstance(module, nn.Linear) or axis != len(shape) - 1 or module.in_features != len(channels):
            raise CannotFoldError(f"its channels are not the features of {path}")
        return Change(path, Side.INPUT, channels)

    def _convolution(self, user: fx.Node, axis: int, channels: Channels) -> Change:
        path, module = carrier_of(user, self._uses, self._trace)
        if not isinstance(module, _ConvNd) or isinstance(module, _ConvTransposeNd):
            raise CannotFoldError(f"it feeds {path}, a transposed convolution")
        if axis != 1 or module.in_channels != len(channels):
            raise CannotFoldError(f"its channels are not the channels of {path}")
        if module.padding == "same" or (module.padding_mode == "zeros" and any(number for number in module.padding)):
            raise CannotFoldError(f"{path} pads with zeros, which the shift would have to follow")
        return Change(path, Side.INPUT, channels)

    def _inactive(self, node: fx.Node) -> bool:
        return node.op == "call_module" and not self._trace.attributes[str(node.target)].training

    def _name(self, node: fx.Node) -> str:
        if node.op == "output":
            return "the output of the model"
        return str(node.target) if node.op == "call_module" else operator_name(node.target)
