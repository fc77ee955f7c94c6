"""Whether one normalisation layer is called on values that come from different layers."""

from __future__ import annotations

from collections.abc import Iterable

from torch import fx

from bnlint.facts.flow import Flow
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.tracing.kinds import Role
from bnlint.tracing.trace import NormCall, Trace

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
    groups: list[frozenset[str]] = []
    for call in calls:
        origins = None if call.input_node is None else _origins(call.input_node, call.node, flow)
        if origins is None:
            return UNKNOWN
        overlapping = [group for group in groups if group & origins]
        groups = [group for group in groups if not group & origins]
        groups.append(origins.union(*overlapping))
    return len([group for group in groups if group])


def _origins(source: fx.Node, reader: fx.Node, flow: Flow) -> frozenset[str] | None:
    """Names of the layers next upstream, and `input` for any input of the model; `None` where one is unknown."""
    found: set[str] = set()
    seen: set[fx.Node] = set()
    pending = flow.values(source, reader)
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
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
    return frozenset(found)


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
