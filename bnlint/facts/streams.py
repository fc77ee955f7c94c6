"""Whether one normalisation layer is called on values that come from different layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from torch import fx

from bnlint.facts.flow import Flow
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.tracing.kinds import Role
from bnlint.tracing.trace import NormCall, Trace

_MOST_STEPS: Final = 1 << 20
"""Nodes that are looked at for all calls of one layer; the longest ways of published models have some hundred."""

_LAYERS = frozenset({
    Role.CONVOLUTION, Role.TRANSPOSED_CONVOLUTION, Role.LINEAR, Role.MATMUL, Role.EMBEDDING, Role.RECURRENT,
    Role.ATTENTION, Role.NORMALISATION,
})  # fmt: skip


def streams_by_layer(trace: Trace, flow: Flow) -> dict[str, Maybe[int]]:
    """How many streams each layer of a graph normalises, by its path.

    Args:
        trace: The trace.
        flow: The edges of its graph along which values travel.
    """
    calls: dict[str, list[NormCall]] = {}
    for call in trace.norm_calls:
        calls.setdefault(call.layer, []).append(call)
    return {layer: _streams(of_layer, flow) if len(of_layer) > 1 else 1 for layer, of_layer in calls.items()}


def _streams(calls: Iterable[NormCall], flow: Flow) -> Maybe[int]:
    """How many streams a layer normalises: calls with a layer upstream in common are one stream.

    The two branches of a siamese network are one stream, because the same layers make them, and so are the steps of a
    loop that begins each step with the same layer.
    """
    streams: dict[str, str] = {}  # from one origin to another of the same stream; the last one stands for all
    left = _MOST_STEPS
    for call in calls:
        found = None if call.input_node is None else _origins(call.input_node, call.node, flow, left)
        if found is None:
            return UNKNOWN
        origins, steps = found
        left -= steps
        ends = {_end(streams, origin) for origin in origins}
        streams.update(dict.fromkeys(ends, next(iter(ends), "")))
    return sum(origin == other for origin, other in streams.items())


def _end(streams: dict[str, str], origin: str) -> str:
    """The origin that stands for a stream; the way to it is made shorter."""
    while (following := streams.setdefault(origin, origin)) != origin:
        streams[origin] = streams[following]
        origin = following
    return origin


def _origins(source: fx.Node, reader: fx.Node, flow: Flow, most: int) -> tuple[set[str], int] | None:
    """Names of the layers next upstream, and `input` for any input of the model; `None` where one is unknown.

    The number of nodes that were looked at comes with them; with more than `most` the names are unknown, too.
    """
    found: set[str] = set()
    seen: set[fx.Node] = set()
    pending = flow.values(source, reader)
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if len(seen) > most:
            return None
        role: Role = node.meta.get("role", Role.UNKNOWN)
        names = _names(node) if role in _LAYERS else set()
        if role is Role.UNKNOWN:
            return None
        if role is Role.INPUT:
            found.add("input")
        elif names:
            found |= names
        else:
            pending.extend(flow.sources(node))
    return found, len(seen)


def _names(node: fx.Node) -> set[str]:
    """What makes a call a layer of its own: its module, or the parameters that it reads."""
    if node.op == "call_module":
        return {str(node.target)}
    read = {
        str(source.meta.get("attribute", source.target)) for source in node.all_input_nodes if _is_parameter(source)
    }
    running = node.meta.get("module")
    return read or ({running} if running and node.meta["role"] is not Role.MATMUL else set())


def _is_parameter(node: fx.Node) -> bool:
    return node.op == "get_attr" or "attribute" in node.meta
