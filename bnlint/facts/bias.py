"""Biases that a batch normalisation takes away again."""

from __future__ import annotations

import numpy
from torch import Tensor, fx, nn

from bnlint.facts.flow import Flow
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.steps import Steps
from bnlint.norms.kinds import NormKind
from bnlint.tracing.arguments import argument
from bnlint.tracing.axes import shape_of
from bnlint.tracing.dropout import dropout_of
from bnlint.tracing.kinds import Role
from bnlint.tracing.trace import NormCall, Trace
from bnlint.user_objects import attribute

_CONVOLUTIONS = (Role.CONVOLUTION, Role.TRANSPOSED_CONVOLUTION)


class Biases:
    """Looks for a bias between a weight and the mean that BatchNorm subtracts.

    Args:
        trace: The trace.
        flow: The edges of its graph along which values travel.
    """

    def __init__(self, trace: Trace, flow: Flow) -> None:
        self._trace = trace
        self._flow = flow
        self._steps = Steps(trace, gone=(), positive=True)  # a maximum lets a shift through, whatever the scale
        self._calls: dict[str, int] = {}
        for node in trace.graph.nodes:
            if node.op == "call_module":
                self._calls[str(node.target)] = self._calls.get(str(node.target), 0) + 1

    def before(self, call: NormCall, axis: Maybe[int | None]) -> Maybe[frozenset[str]]:
        """The layer whose bias each channel of a call sees as one constant, and nothing else sees.

        Args:
            call: The call.
            axis: The axis of its input that it normalises by channel.

        Returns:
            The path of the layer, in a set; an empty set where there is none.
        """
        nothing: frozenset[str] = frozenset()
        if call.kind is not NormKind.BATCH or axis is None:
            return nothing
        node, reader = call.input_node, call.node
        if node is None:
            return UNKNOWN
        if axis is UNKNOWN:
            return self._without_shapes(node, reader)
        shape = shape_of(node)
        while shape is not None and self._is_read_only_by(node, reader):
            role: Role = node.meta.get("role", Role.UNKNOWN)
            if role in _CONVOLUTIONS:
                return self._bias_of(node) if axis == 1 and len(shape) > 2 else nothing
            if role is Role.LINEAR:
                return self._bias_of(node) if axis == len(shape) - 1 else nothing
            if role is Role.UNKNOWN:
                return UNKNOWN
            dropout = dropout_of(node, self._trace.attributes)
            if (dropout is not None and dropout.probability > 0) or not self._steps.passes(node):
                return nothing
            try:
                place = self._steps.back(node, axis, numpy.arange(shape[axis]))
            except CannotFoldError:
                return nothing
            if len(place.channels) != shape[axis]:  # several biases for one channel, as in a pixel shuffle
                return nothing
            node, reader, axis, shape = place.node, node, place.axis, shape_of(place.node)
        return nothing

    def _without_shapes(self, node: fx.Node, reader: fx.Node) -> Maybe[frozenset[str]]:
        """In a graph without shapes only a convolution right before can be told."""
        role = node.meta.get("role", Role.UNKNOWN)
        if role in _CONVOLUTIONS and self._is_read_only_by(node, reader):
            return self._bias_of(node)
        return UNKNOWN

    def _is_read_only_by(self, node: fx.Node, reader: fx.Node) -> bool:
        if node.meta.get("written_by"):
            return False
        readers = self._flow.readers(node)
        # Stops at the first other one: a value with thousands of readers is looked at once for each of them.
        return next(readers, None) is reader and all(other is reader for other in readers)

    def _bias_of(self, node: fx.Node) -> frozenset[str]:
        """The path of the layer if it has a bias that no other call reads."""
        if node.op == "call_module":
            module: nn.Module = self._trace.attributes[str(node.target)]
            alone = self._calls[str(node.target)] == 1 and not attribute(module, "_forward_hooks")
            path = node.meta.get("layer", str(node.target))
            return frozenset({path} if alone and isinstance(attribute(module, "bias"), nn.Parameter) else ())
        bias = argument(node, 2, "bias", None)
        if not isinstance(bias, fx.Node) or len(bias.users) != 1:
            return frozenset()
        name = str(bias.meta.get("attribute", bias.target))
        is_parameter = isinstance(self._trace.attributes.get(name), Tensor) and not name.startswith("_constant")
        return frozenset({name.rpartition(".")[0]} if is_parameter else ())
