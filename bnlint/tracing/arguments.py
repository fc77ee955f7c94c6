"""The arguments of a call in a graph."""

from __future__ import annotations

from typing import Any

from torch import fx


def argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    """An argument of a call, by name or by position, or the default where it is not given."""
    if name in node.kwargs:
        return node.kwargs[name]
    return node.args[position] if len(node.args) > position else default
