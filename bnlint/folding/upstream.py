"""Folds the affine of a BatchNorm into what comes before it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from bnlint.folding.carriers import carrier_of
from bnlint.folding.plan import Change, Channels, Side
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.sums import adds_nothing, is_sum
from bnlint.folding.uses import Uses
from bnlint.tracing.axes import shape_of, step_back
from bnlint.tracing.kinds import Role
from bnlint.tracing.norms import norm_kind
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import Trace

_MEANS = frozenset({"mean", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"})
_MEAN_MODULES = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


class Upstream:
    """Walks against the flow until every branch has found a carrier.

    Args:
        trace: The graph.
        uses: Who uses what.
        gone: Calls of BatchNorms that are folded already: nothing happens there any more.
    """

    def __init__(self, trace: Trace, uses: Uses, gone: Collection[fx.Node]) -> None:
        self._trace = trace
        self._uses = uses
        self._gone = gone

    def absorb(self, reader: fx.Node, node: fx.Node, axis: int, channels: Channels) -> tuple[list[Change], list[str]]:
        """Have the value of a node scaled and shifted by what makes it.

        Args:
            reader: The node that reads the value; the only one.
            node: The node of the value.
            axis: Its channel axis.
            channels: The channel of the BatchNorm at each place along that axis.

        Returns:
            The changes, and the names of the operators on the way.

        Raises:
            CannotFoldError: With the reason.
        """
        through: list[str] = []
        return self._absorb(reader, node, axis, channels, True, through), through

    def _absorb(
        self, reader: fx.Node, node: fx.Node, axis: int, channels: Channels, with_shift: bool, through: list[str]
    ) -> list[Change]:
        self._require_single_use(node, reader)
        role: Role = node.meta.get("role", Role.UNKNOWN)
        carrier = _CARRIERS.get(role)
        if carrier is not None and node not in self._gone:
            return [carrier(self, node, axis, channels, with_shift)]
        through.append(self._name(node))
        step = self._step(node, role)
        return step(node, axis, channels, with_shift, through)

    def _step(self, node: fx.Node, role: Role) -> Callable[..., list[Change]]:
        if node in self._gone or role is Role.MOVE or adds_nothing(node) or self._is_inactive_dropout(node, role):
            return self._through_move
        if is_sum(node):
            return self._through_addition
        if role is Role.CONCATENATION:
            return self._through_concatenation
        if self._averages(node):
            return self._through_average
        raise CannotFoldError(f"it follows {self._describe(node, role)}")

    def _through_move(
        self, node: fx.Node, axis: int, channels: Channels, with_shift: bool, through: list[str]
    ) -> list[Change]:
        source, shape, before = self._source(node), shape_of(node), None
        before = shape_of(source)
        if shape is None or before is None:
            raise CannotFoldError("the shapes on the way are not known")
        role = Role.DROPOUT if node in self._gone or adds_nothing(node) else node.meta["role"]
        back = step_back(node, role, axis, shape, before)
        if back is None or before[back] != len(channels):
            raise CannotFoldError(f"its channel axis cannot be followed through {self._name(node)}")
        return self._absorb(node, source, back, channels, with_shift, through)

    def _through_addition(
        self, node: fx.Node, axis: int, channels: Channels, with_shift: bool, through: list[str]
    ) -> list[Change]:
        first, second = node.all_input_nodes
        changes = self._absorb(node, first, axis, channels, with_shift, through)
        return changes + self._absorb(node, second, axis, channels, False, through)

    def _through_concatenation(
        self, node: fx.Node, axis: int, channels: Channels, with_shift: bool, through: list[str]
    ) -> list[Change]:
        parts: Any = node.args[0]
        along = _argument(node, 1, "dim", _argument(node, 1, "axis", 0))
        shape = shape_of(node)
        if operator_name(node.target) not in ("cat", "concat", "concatenate") or shape is None:
            raise CannotFoldError(f"it follows {self._name(node)}")
        changes: list[Change] = []
        start = 0
        for part in parts:
            size = (shape_of(part) or shape)[axis]
            own = channels[start : start + size] if along % len(shape) == axis else channels
            start += size
            changes += self._absorb(node, part, axis, own, with_shift, through)
        return changes

    def _through_average(
        self, node: fx.Node, axis: int, channels: Channels, with_shift: bool, through: list[str]
    ) -> list[Change]:
        source = self._source(node)
        before = shape_of(source)
        if before is None or axis >= len(before) or before[axis] != len(channels) or axis != 1:
            raise CannotFoldError(f"its channel axis cannot be followed through {self._name(node)}")
        return self._absorb(node, source, axis, channels, with_shift, through)

    def _averages(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return isinstance(self._trace.attributes[str(node.target)], _MEAN_MODULES)
        return operator_name(node.target) in _MEANS

    def _is_inactive_dropout(self, node: fx.Node, role: Role) -> bool:
        if role is not Role.DROPOUT:
            return False
        if node.op == "call_module":
            return not self._trace.attributes[str(node.target)].training
        return not _argument(node, 2, "training", True)

    def _require_single_use(self, node: fx.Node, reader: fx.Node) -> None:
        if any(writer is not reader for writer in node.meta.get("written_by", ())):
            raise CannotFoldError(f"the value of {self._name(node)} is changed in place")
        others = [user for user in self._uses.value_users(node) if user is not reader]
        if others:
            raise CannotFoldError(f"the output of {self._name(node)} is used elsewhere too")

    def _source(self, node: fx.Node) -> fx.Node:
        if not node.args or not isinstance(node.args[0], fx.Node):
            raise CannotFoldError(f"the input of {self._name(node)} cannot be followed")
        return node.args[0]

    def _name(self, node: fx.Node) -> str:
        return str(node.target) if node.op == "call_module" else operator_name(node.target)

    def _describe(self, node: fx.Node, role: Role) -> str:
        words = {
            Role.INPUT: "the input of the model",
            Role.CONSTANT: "a constant",
            Role.UNKNOWN: "something that could not be traced",
        }
        article = "an" if str(role)[0] in "aeiou" else "a"
        return words.get(role, f"{article} {str(role).replace('_', ' ')} ({self._name(node)})")

    def convolution(self, node: fx.Node, axis: int, channels: Channels, with_shift: bool) -> Change:
        """A convolution of any rank, plain or transposed: the channels are axis 1."""
        path, module = carrier_of(node, self._uses, self._trace)
        if not isinstance(module, (_ConvNd, _ConvTransposeNd)) or axis != 1 or module.out_channels != len(channels):
            raise CannotFoldError(f"its channels are not the channels of {path}")
        return Change(path, Side.OUTPUT, channels, with_shift)

    def linear(self, node: fx.Node, axis: int, channels: Channels, with_shift: bool) -> Change:
        """A linear layer: the features are the last axis."""
        path, module = carrier_of(node, self._uses, self._trace)
        shape = shape_of(node) or ()
        if not isinstance(module, nn.Linear) or axis != len(shape) - 1 or module.out_features != len(channels):
            raise CannotFoldError(f"its channels are not the features of {path}")
        return Change(path, Side.OUTPUT, channels, with_shift)

    def embedding(self, node: fx.Node, axis: int, channels: Channels, with_shift: bool) -> Change:
        """An embedding: the features are the last axis, and every row takes the affine."""
        path, module = carrier_of(node, self._uses, self._trace)
        shape = shape_of(node) or ()
        if not isinstance(module, nn.Embedding) or axis != len(shape) - 1 or module.max_norm is not None:
            raise CannotFoldError(f"its channels are not the features of {path}")
        return Change(path, Side.OUTPUT, channels, with_shift)

    def normalisation(self, node: fx.Node, axis: int, channels: Channels, with_shift: bool) -> Change:
        """Another normalisation with a scale and a shift for each channel."""
        path, module = carrier_of(node, self._uses, self._trace)
        weight = getattr(module, "weight", None)
        last = axis == len(shape_of(node) or ()) - 1
        places = last if isinstance(module, nn.LayerNorm) else axis == 1
        affine = isinstance(weight, Tensor) and weight.dim() == 1 and weight.numel() == len(channels)
        if (
            not affine
            or not places
            or not isinstance(module, (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d))
        ):
            raise CannotFoldError(
                f"it follows {path}, a {norm_kind(module) or 'normalisation'} without an affine to take it"
            )
        return Change(path, Side.OUTPUT, channels, with_shift)


_CARRIERS: dict[Role, Callable[[Upstream, fx.Node, int, Channels, bool], Change]] = {
    Role.CONVOLUTION: Upstream.convolution,
    Role.TRANSPOSED_CONVOLUTION: Upstream.convolution,
    Role.LINEAR: Upstream.linear,
    Role.EMBEDDING: Upstream.embedding,
    Role.NORMALISATION: Upstream.normalisation,
}


def _argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    if name in node.kwargs:
        return node.kwargs[name]
    return node.args[position] if len(node.args) > position else default
