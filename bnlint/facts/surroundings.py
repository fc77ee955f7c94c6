"""What feeds a normalisation call and what it feeds, in the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, fx

from bnlint.facts.flow import PUTS_TOGETHER, Flow
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.tracing.dropout import dropout_of
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import TRANSPARENT, operator_name
from bnlint.tracing.trace import NormCall, Trace

Names = frozenset[str]

SEQUENCE_ROLES = frozenset({Role.ATTENTION, Role.RECURRENT, Role.EMBEDDING})
"""Roles that only sequence models have, unless the sequence is the pixel grid of an image."""

_IMAGE = "image"
_SCORE_ROLES = frozenset({
    Role.MOVE, Role.PART, Role.ADDITION, Role.MULTIPLICATION, Role.OTHER, Role.DROPOUT, Role.SOFTMAX,
    Role.CONCATENATION,
})  # fmt: skip
"""What may stand between the products and the softmax of an attention written by hand: scale, mask, bias, dropout."""

_SCORE_DISTANCE = 8


class Surroundings:
    """Answers questions about the neighbours of calls in one graph, each in time proportional to what it looks at.

    Args:
        trace: The trace; the sequence evidence of all nodes is worked out in two passes over its graph.
        flow: The edges of its graph along which values travel.
    """

    def __init__(self, trace: Trace, flow: Flow) -> None:
        self._trace = trace
        self._flow = flow
        nodes = self._flow.nodes
        self._roles = {node: self._role(node) for node in nodes}
        self._attention = frozenset(node for node, role in self._roles.items() if self._is_attention(node, role))
        self._above = self._collect(nodes, self._flow.sources)
        self._below = self._collect(reversed(nodes), self._flow.readers)
        self._nearest_above = self._nearest(nodes, self._flow.sources)
        self._nearest_below = self._nearest(reversed(nodes), self._flow.readers)

    def fed_by(self, call: NormCall) -> Maybe[Names]:
        """Roles of the nearest operators upstream that are not transparent."""
        if call.input_node is None:
            return UNKNOWN
        return self._joined(self._nearest_above[node] for node in self._flow.values(call.input_node, call.node))

    def feeds(self, call: NormCall) -> Maybe[Names]:
        """Roles of the nearest operators downstream that are not transparent."""
        if call.node.meta.get("opaque"):  # its own code may do more than normalise
            return UNKNOWN
        return self._joined(self._nearest_below[node] for node in self._flow.readers(call.node))

    def identity_branch(self, call: NormCall) -> Maybe[bool]:
        """Whether a call stands on a skip connection beside other branches of the same input."""
        feeds, source = self.feeds(call), call.input_node
        if feeds is UNKNOWN or source is None:
            return UNKNOWN
        while len(source.users) == 1 and self._roles[source] is Role.MOVE and source.all_input_nodes:
            source = source.all_input_nodes[0]
        return len(source.users) > 1 and feeds == {Role.ADDITION}

    def sequence_evidence(self, call: NormCall) -> Maybe[Names]:
        """Roles of sequence models up- or downstream of a call on values of rank 2 or 3."""
        shape = call.input_shape
        if shape is None:
            return UNKNOWN
        if len(shape) > 3:
            return frozenset()
        above, below = self._above[call.node], self._below[call.node]
        evidence = (above | below) & SEQUENCE_ROLES
        if _IMAGE in above:
            evidence &= {Role.RECURRENT}
        return frozenset(str(role) for role in evidence)

    def _joined(self, parts: Iterable[Maybe[Names]]) -> Maybe[Names]:
        """All roles together; unknown where one part is, or where the graph is not all and shows none."""
        found: set[str] = set()
        for part in parts:
            if part is UNKNOWN:
                return UNKNOWN
            found |= part
        return frozenset(found) if found or self._trace.complete else UNKNOWN

    def _nearest(
        self, order: Iterable[fx.Node], step: Callable[[fx.Node], Iterable[fx.Node]]
    ) -> dict[fx.Node, Maybe[Names]]:
        """For each node its role, or that of the nearest nodes before it in `order` that are not transparent."""
        nearest: dict[fx.Node, Maybe[Names]] = {}
        for node in order:
            role = self._roles[node]
            if role is Role.UNKNOWN or (role is Role.NORMALISATION and node.meta.get("opaque")):
                nearest[node] = UNKNOWN
                continue
            own = frozenset[str]() if role in TRANSPARENT else frozenset({str(role)})
            if role in TRANSPARENT or role is Role.DROPOUT:
                beyond = [nearest[neighbour] for neighbour in step(node)]
                joined = self._joined(beyond)
                nearest[node] = UNKNOWN if joined is UNKNOWN else own | joined
            else:
                nearest[node] = own
        return nearest

    def _role(self, node: fx.Node) -> Role:
        role: Role = node.meta.get("role", Role.UNKNOWN)
        dropout = dropout_of(node, self._trace.attributes) if role is Role.DROPOUT else None
        if dropout is not None and not dropout.active:
            return Role.MOVE
        if node.op == "call_function" and operator_name(node.target) in PUTS_TOGETHER:
            return Role.CONCATENATION
        return role

    def _is_attention(self, node: fx.Node, role: Role) -> bool:
        if role is Role.ATTENTION:
            return True
        if role is not Role.SOFTMAX:
            return False
        return all(self._reaches_product([node], step) for step in (self._flow.sources, self._flow.readers))

    def _reaches_product(self, start: list[fx.Node], step: Callable[[fx.Node], Iterable[fx.Node]]) -> bool:
        front, seen = start, set(start)
        for _ in range(_SCORE_DISTANCE):
            following = [n for node in front for n in step(node) if n not in seen]
            if any(self._roles[node] is Role.MATMUL for node in following):
                return True
            front = [node for node in following if self._roles[node] in _SCORE_ROLES]
            seen.update(front)
        return False

    def _collect(
        self, order: Iterable[fx.Node], step: Callable[[fx.Node], Iterable[fx.Node]]
    ) -> dict[fx.Node, frozenset[Any]]:
        """For each node, the marks of all nodes before it in `order` that lead to it."""
        collected: dict[fx.Node, frozenset[Any]] = {}
        for node in order:
            marks: frozenset[Any] = frozenset()
            for neighbour in step(node):
                above = collected.get(neighbour)
                if above is not None and not above <= marks:
                    marks |= above
            collected[node] = marks | self._marks(node)
        return collected

    def _marks(self, node: fx.Node) -> frozenset[Any]:
        if node in self._attention:
            return frozenset({Role.ATTENTION})
        role = self._roles[node]
        if role in SEQUENCE_ROLES:
            return frozenset({role})
        if role in (Role.INPUT, Role.CONVOLUTION) and _rank(node) >= 4:
            return frozenset({_IMAGE})
        return frozenset()


def _rank(node: fx.Node) -> int:
    value = node.meta.get("val")
    return value.dim() if isinstance(value, Tensor) else 0
