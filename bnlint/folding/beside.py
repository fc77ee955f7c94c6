"""Folds a BatchNorm on a skip connection into the convolution beside it, as RepVGG does for deployment.

Source: Ding et al. 2021 (RepVGG), arXiv:2101.03697, section 3.3.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy
from torch import fx
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from bnlint.folding.carriers import carrier_of, geometry_of
from bnlint.folding.plan import Change, Channels, Side
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.steps import Steps, has_hook, is_batched, is_lossy
from bnlint.folding.sums import Term, adds_nothing, is_sum, terms_of
from bnlint.folding.uses import Uses
from bnlint.folding.wanted import Wanted
from bnlint.tracing.axes import SAME_AXES
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import Trace


class Beside:
    """Finds the convolution of the same input whose output is added to a skip connection.

    Args:
        trace: The graph.
        uses: Who uses what.
        gone: Calls of BatchNorms that are folded already: nothing happens there any more.
    """

    def __init__(self, trace: Trace, uses: Uses, gone: Collection[fx.Node]) -> None:
        self._trace = trace
        self._uses = uses
        self._gone = gone
        self._steps = Steps(trace, gone, positive=False)

    def absorb_norm(self, call: fx.Node, source: fx.Node, channels: Channels) -> Wanted:
        """Fold a BatchNorm that stands on the skip connection.

        Args:
            call: The call of the BatchNorm.
            source: The node of its input.
            channels: The channels of the BatchNorm.

        Returns:
            The change of the convolution.

        Raises:
            CannotFoldError: If there is no convolution, or if it has another shape, stride or padding.
        """
        root, operand = self._sum_after(call)
        return self._into_a_neighbour(root, operand, source, channels, with_shift=True)

    def absorb_skip(self, root: fx.Node, operand: fx.Node, channels: Channels) -> Wanted:
        """Have a bare skip connection scaled as the other operands of its sum are.

        Args:
            root: The sum, whose other operands take the affine of a BatchNorm behind it.
            operand: The operand that nothing stands on.
            channels: The channel of the BatchNorm at each place along axis 1.

        Returns:
            The further change of the convolution.

        Raises:
            CannotFoldError: As above.
        """
        if operand.meta.get("written_by"):
            raise CannotFoldError("the skip connection is changed in place")
        return self._into_a_neighbour(root, operand, operand, channels, with_shift=False)

    def _into_a_neighbour(
        self, root: fx.Node, operand: fx.Node, source: fx.Node, channels: Channels, with_shift: bool
    ) -> Wanted:
        terms = list(self._terms(root))
        sign = next((term.sign for term in terms if term.node is self._origin(operand)), None)
        reasons = []
        for term in terms:
            if sign is None or term.node.meta.get("role") is not Role.CONVOLUTION or term.node in self._gone:
                continue
            try:
                path = self._centred(term.node, source, channels)
                change = Change(path, Side.BESIDE, numpy.asarray(channels), with_shift, term.sign != sign)
                return Wanted(term.node, change)
            except CannotFoldError as error:
                reasons.append(error)
        raise reasons[0] if reasons else CannotFoldError("no convolution of the same input stands beside it")

    def _sum_after(self, call: fx.Node) -> tuple[fx.Node, fx.Node]:
        """The outermost sum that the output of a call enters, and the operand by which it enters the innermost."""
        node, new = call, False
        while True:
            users = self._uses.value_users(node)
            if len(users) != 1 or (node.meta.get("written_by") and not new):
                raise CannotFoldError("no addition follows it")  # in place, the sum would land in the input
            if is_sum(users[0]):
                return self._outermost(users[0]), node
            new = new or adds_nothing(users[0])  # from here on, writing in place is harmless
            if not adds_nothing(users[0]) and not self._stays_in_place(users[0]):
                raise CannotFoldError("no addition follows it")
            node = users[0]

    def _outermost(self, node: fx.Node) -> fx.Node:
        while True:
            users = self._uses.value_users(node)
            if len(users) != 1 or not is_sum(users[0]):
                return node
            node = users[0]

    def _terms(self, root: fx.Node, sign: int = 1) -> Iterator[Term]:
        """What a sum adds up, through further sums and what leaves every value where it is."""
        for term in terms_of(root):
            node, own = self._origin(term.node), sign * term.sign
            if is_sum(node) and len(self._uses.value_users(node)) == 1:
                yield from self._terms(node, own)
            else:
                yield Term(node, own)

    def _origin(self, node: fx.Node) -> fx.Node:
        """Where an operand comes from, as far as nothing else reads what lies on the way."""
        while self._only_carries(node) and len(self._uses.value_users(node)) == 1:
            node = node.all_input_nodes[0]
        return node

    def _value(self, node: fx.Node) -> fx.Node:
        """Where a value comes from, as far as nothing is written to it."""
        while self._only_carries(node) and not node.meta.get("written_by"):
            node = node.all_input_nodes[0]
        return node

    def _only_carries(self, node: fx.Node) -> bool:
        return node in self._gone or adds_nothing(node) or self._stays_in_place(node)

    def _stays_in_place(self, node: fx.Node) -> bool:
        """Whether a node leaves every value where it is: a transposed map has the same shape and another order."""
        if not self._steps.passes(node) or not node.args or not isinstance(node.args[0], fx.Node):
            return False
        name = node.meta.get("operator") or operator_name(node.target)
        same = node.meta.get("role") is Role.DROPOUT or name in SAME_AXES
        return same and not has_hook(node, self._trace) and not is_lossy(node.args[0], node)

    def _centred(self, node: fx.Node, source: fx.Node, channels: Channels) -> str:
        """The path of a convolution whose kernel has a middle that meets the skip connection."""
        if (
            not node.args
            or not isinstance(node.args[0], fx.Node)
            or self._value(node.args[0]) is not self._value(source)
        ):
            raise CannotFoldError("the convolution beside it has another input")
        if len(self._uses.value_users(node)) != 1:
            raise CannotFoldError("the output of the convolution beside it is used elsewhere too")
        path, module = carrier_of(node, self._uses, self._trace)
        if not isinstance(module, _ConvNd) or isinstance(module, _ConvTransposeNd):
            raise CannotFoldError("{} beside it is no plain convolution", path)
        if module.in_channels != module.out_channels or module.out_channels != len(channels):
            raise CannotFoldError("{} beside it changes the number of channels", path)
        if not is_batched(node, len(module.kernel_size)):
            raise CannotFoldError("its channels are not the channels of {}", path)
        geometry = geometry_of(node, module)
        centred = not isinstance(geometry.padding, str) and all(
            2 * padding == dilation * (size - 1)
            for padding, dilation, size in zip(geometry.padding, geometry.dilation, module.kernel_size, strict=True)
        )
        if (
            not centred
            or any(size % 2 == 0 for size in module.kernel_size)
            or any(step != 1 for step in geometry.stride)
        ):
            raise CannotFoldError("{} beside it is not centred on its input with a stride of 1", path)
        return path
