"""The largest traceable submodules: what is left when the model as a whole cannot be traced."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import fx, nn

from bnlint.artifacts.names import joined
from bnlint.norms.classes import norm_kind
from bnlint.tracing.kinds import Role
from bnlint.tracing.live import children, named_modules, submodule
from bnlint.tracing.symbolic import Symbolic, symbolic


def add_parts(
    graph: fx.Graph, attributes: Mapping[str, Any], model: nn.Module, seen: frozenset[str], deadline: float
) -> dict[str, Any]:
    """Add the parts of a model that a graph does not show yet, each traced by itself.

    The inputs of a part come from somewhere that was not seen: their role is unknown, so that facts that depend on
    them are unknown too.

    Args:
        graph: The graph so far; parts are added to it. An output node is taken off, since parts come after it.
        attributes: What the targets of the graph stand for.
        model: The model.
        seen: Paths of the normalisation layers that the graph shows.
        deadline: Time of `time.monotonic()` after which no further part is tried.

    Returns:
        The attributes of the whole.
    """
    missing = {path for path, module in named_modules(model) if norm_kind(module) is not None} - seen
    together = dict(attributes)
    for node in list(graph.nodes):
        if node.op == "output" and missing:
            graph.erase_node(node)
    _descend(graph, together, model, "", missing, deadline)
    return together


def _descend(
    graph: fx.Graph, attributes: dict[str, Any], model: nn.Module, path: str, missing: set[str], deadline: float
) -> None:
    owner = submodule(model, path)
    for name, child in children(owner).items():
        child_path = joined(path, name)
        below = {norm for norm in missing if norm == child_path or norm.startswith(f"{child_path}.")}
        if not below or time.monotonic() > deadline:
            continue
        if child_path in missing and norm_kind(child) is not None:
            continue  # a lone layer says no more than the module tree
        inside = {norm for norm, module in named_modules(child, child_path) if norm_kind(module) is not None}
        part = symbolic(child, max(0.1, deadline - time.monotonic())) if below == inside else None
        if isinstance(part, Symbolic) and not part.opaque:
            _append(graph, attributes, part, child_path)
            missing -= below
        else:
            _descend(graph, attributes, model, child_path, missing, deadline)


def _append(graph: fx.Graph, attributes: dict[str, Any], part: Symbolic, path: str) -> None:
    copies: dict[fx.Node, fx.Node] = {}
    lookup: Callable[[fx.Node], fx.Node] = copies.__getitem__
    for node in part.graph.nodes:
        if node.op == "output":
            continue
        copy = graph.node_copy(node, lookup)
        copies[node] = copy
        if node.op == "placeholder":
            copy.name, copy.target = f"{path.replace('.', '_')}_{node.name}", f"{path.replace('.', '_')}_{node.target}"
            copy.meta["role"] = Role.UNKNOWN
        elif node.op in ("call_module", "get_attr"):
            copy.target = f"{path}.{node.target}"
            attributes[copy.target] = part.attributes[node.target]
        if "layer" in node.meta:
            copy.meta["layer"] = f"{path}.{node.meta['layer']}"
