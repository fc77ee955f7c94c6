"""Additions, as folding reads them."""

from __future__ import annotations

from torch import fx

from bnlint.tracing.axes import shape_of
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name

_ADDITIONS = frozenset({"add", "iadd", "__add__", "__radd__", "__iadd__"})


def is_sum(node: fx.Node) -> bool:
    """Whether a node adds two tensors of the same shape, in place or not."""
    if not _is_addition(node) or not all(isinstance(part, fx.Node) for part in node.args):
        return False
    first, second = (shape_of(part) for part in node.all_input_nodes) if len(node.all_input_nodes) == 2 else (None, ())
    return first == second


def adds_nothing(node: fx.Node) -> bool:
    """Whether a node adds the number 0, as the `sum()` of Python begins."""
    return _is_addition(node) and any(not isinstance(part, fx.Node) and part == 0 for part in node.args)


def _is_addition(node: fx.Node) -> bool:
    if node.op not in ("call_function", "call_method") or node.meta.get("role") is not Role.ADDITION:
        return False
    return operator_name(node.target) in _ADDITIONS and len(node.args) == 2 and not node.kwargs
