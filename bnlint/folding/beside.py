"""Folds a BatchNorm on a skip connection into the convolution beside it, as RepVGG does for deployment.

Source: Ding et al. 2021 (RepVGG), arXiv:2101.03697, section 3.3.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy
from torch import fx
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from bnlint.folding.carriers import carrier_of
from bnlint.folding.plan import Change, Channels, Side
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.sums import adds_nothing, is_sum
from bnlint.folding.uses import Uses
from bnlint.tracing.axes import SAME_AXES
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import Trace


def absorb_beside(
    call: fx.Node, source: fx.Node, channels: Channels, uses: Uses, trace: Trace, gone: Collection[fx.Node]
) -> Change:
    """Find the convolution of the same input whose output is added to that of the BatchNorm.

    Args:
        call: The call of the BatchNorm, or of the last of what stands for it.
        source: The node of its input.
        channels: The channels of the BatchNorm.
        uses: Who uses what.
        trace: The graph.
        gone: Calls of BatchNorms that are folded already.

    Returns:
        The change of the convolution.

    Raises:
        CannotFoldError: If there is none, or if it has another shape, stride or padding.
    """
    addition, operand = _addition_after(call, uses)
    reasons = []
    for convolution in _branches(addition, operand, uses, gone):
        try:
            return _check(convolution, source, channels, uses, trace)
        except CannotFoldError as error:
            reasons.append(str(error))
    raise CannotFoldError(reasons[0] if reasons else "no convolution of the same input stands beside it")


def _addition_after(call: fx.Node, uses: Uses) -> tuple[fx.Node, fx.Node]:
    """The sum that the output of a call enters, and the operand by which it enters."""
    node = call
    while True:
        users = uses.value_users(node)
        if len(users) != 1 or node.meta.get("written_by"):
            raise CannotFoldError("no addition follows it")  # in place, the sum would land in the input of the block
        if is_sum(users[0]):
            return users[0], node
        if not _stays_in_place(users[0]) and not adds_nothing(users[0]):
            raise CannotFoldError("no addition follows it")
        node = users[0]
        if adds_nothing(node):
            return _sum_after(node, uses), node


def _sum_after(node: fx.Node, uses: Uses) -> fx.Node:
    """The sum that a new value enters; from here on, writing in place is harmless."""
    users = uses.value_users(node)
    if len(users) != 1 or not is_sum(users[0]):
        raise CannotFoldError("no addition follows it")
    return users[0]


def _branches(addition: fx.Node, operand: fx.Node, uses: Uses, gone: Collection[fx.Node]) -> list[fx.Node]:
    """The convolutions that reach the same sum, through folded BatchNorms and further sums."""
    found: list[fx.Node] = []
    seen = {operand}
    pending = [addition]
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.meta.get("role") is Role.CONVOLUTION:
            found.append(node)
        elif node in gone:
            pending.append(node.all_input_nodes[0])
        elif is_sum(node) or adds_nothing(node) or _stays_in_place(node):
            pending += [source for source in node.all_input_nodes if len(uses.value_users(source)) == 1]
            users = uses.value_users(node)
            if len(users) == 1 and is_sum(users[0]):
                pending.append(users[0])
    return found


def _stays_in_place(node: fx.Node) -> bool:
    """Whether a node leaves every value where it is: a transposed map has the same shape and another order."""
    return node.meta.get("role") is Role.MOVE and (node.meta.get("operator") or operator_name(node.target)) in SAME_AXES


def _check(node: fx.Node, source: fx.Node, channels: Channels, uses: Uses, trace: Trace) -> Change:
    if not node.args or node.args[0] is not source:
        raise CannotFoldError("the convolution beside it has another input")
    path, module = carrier_of(node, uses, trace)
    if not isinstance(module, _ConvNd) or isinstance(module, _ConvTransposeNd):
        raise CannotFoldError("{} beside it is no plain convolution", path)
    if module.in_channels != module.out_channels or module.out_channels != len(channels):
        raise CannotFoldError("{} beside it changes the number of channels", path)
    centred = not isinstance(module.padding, str) and all(
        2 * padding == dilation * (size - 1)
        for padding, dilation, size in zip(module.padding, module.dilation, module.kernel_size, strict=True)
    )
    if not centred or any(size % 2 == 0 for size in module.kernel_size) or any(step != 1 for step in module.stride):
        raise CannotFoldError("{} beside it is not centred on its input with a stride of 1", path)
    return Change(path, Side.BESIDE, numpy.asarray(channels))
