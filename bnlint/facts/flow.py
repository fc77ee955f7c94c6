"""Where the values of a graph come from and go to, writes in place included."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx

from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name

PUTS_TOGETHER = frozenset({"setitem", "slice_scatter", "select_scatter", "diagonal_scatter", "index_put"})
"""Operators that replace a part of one value by another."""


class Flow:
    """The edges of a graph along which values travel.

    `node.users` and `node.all_input_nodes` do not show them: a call that writes in place changes what the readers after
    it read, through any view, and an index or the tensor of a `view_as` gives no values.

    Args:
        graph: A traced graph; a node's `written_by` names the calls that wrote into its value, in call order.
    """

    def __init__(self, graph: fx.Graph) -> None:
        self._position = {node: index for index, node in enumerate(graph.nodes)}
        # For each node those that read it, as keys: a node that takes in a hundred thousand is looked at once.
        self._readers: dict[fx.Node, dict[fx.Node, None]] = {node: {} for node in self._position}
        for node in self._position:
            for source in self.sources(node):
                if self._is_before(source, node):
                    self._readers[source][node] = None

    @property
    def nodes(self) -> list[fx.Node]:
        """The nodes in call order."""
        return list(self._position)

    def sources(self, node: fx.Node) -> Iterator[fx.Node]:
        """The nodes whose values a node takes in, all of them before it."""
        for source in _carriers(node):
            yield from self.values(source, node)

    def values(self, source: fx.Node, reader: fx.Node) -> list[fx.Node]:
        """The nodes that made what another reads: the source itself, and what has been written into it since."""
        writers = [writer for writer in source.meta.get("written_by", ()) if self._is_before(writer, reader)]
        whole = [index for index, writer in enumerate(writers) if _overwrites(writer, source)]
        return writers[whole[-1] :] if whole else [source, *writers]

    def readers(self, node: fx.Node) -> Iterator[fx.Node]:
        """The nodes that take in what a node gives, or has written in place, all of them after it."""
        yield from self._readers[node]

    def _is_before(self, first: fx.Node, second: fx.Node) -> bool:
        return self._position[first] < self._position[second]


def _carriers(node: fx.Node) -> list[fx.Node]:
    """The arguments of a node that carry values: a call that moves values has one, `zeros_like` none."""
    if node.meta.get("role") is Role.CONSTANT:
        return []
    if node.op in ("call_function", "call_method"):
        if operator_name(node.target) == "copy":
            return [argument for argument in node.args[1:2] if isinstance(argument, fx.Node)]
        first = node.args[0] if node.args else None
        moves = node.meta.get("role") in (Role.MOVE, Role.PART)
        if moves and isinstance(first, fx.Node):
            return [first]
    return node.all_input_nodes


def _overwrites(writer: fx.Node, source: fx.Node) -> bool:
    """Whether a write replaces the whole of a value, and not a part of it or a view."""
    if writer.kwargs.get("out") is source:
        return True
    partial = writer.op == "call_function" and operator_name(writer.target) in PUTS_TOGETHER
    return not partial and bool(writer.args) and writer.args[0] is source
