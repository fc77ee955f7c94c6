"""Additions, as folding reads them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from bnlint.tracing.axes import shape_of
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name

_ADDITIONS = frozenset({"add", "iadd", "__add__", "__radd__", "__iadd__"})
_DIFFERENCES = frozenset({"sub", "isub", "subtract", "__sub__", "__isub__"})


@dataclass(frozen=True)
class Term:
    """One operand of a sum or of a difference.

    Attributes:
        node: The operand.
        sign: 1, or −1 where it is subtracted.
    """

    node: fx.Node
    sign: int


def terms_of(node: fx.Node) -> tuple[Term, ...]:
    """The two tensors that a node adds or subtracts, in place or not; empty for any other node.

    Their shapes may differ. A value that is added to itself is no sum here, and neither is one with a factor (`alpha`).
    """
    names = _ADDITIONS | _DIFFERENCES
    if not _is_arithmetic(node, names) or not all(isinstance(part, fx.Node) for part in node.args):
        return ()
    if len(node.all_input_nodes) != 2:
        return ()
    first, second = node.all_input_nodes
    return Term(first, 1), Term(second, -1 if operator_name(node.target) in _DIFFERENCES else 1)


def is_sum(node: fx.Node) -> bool:
    """Whether a node adds or subtracts two tensors of the same shape, in place or not."""
    terms = terms_of(node)
    return bool(terms) and shape_of(terms[0].node) == shape_of(terms[1].node)


def adds_nothing(node: fx.Node) -> bool:
    """Whether a node adds the number 0, as the `sum()` of Python begins."""
    return _is_arithmetic(node, _ADDITIONS) and any(not isinstance(part, fx.Node) and part == 0 for part in node.args)


def _is_arithmetic(node: fx.Node, names: frozenset[str]) -> bool:
    if node.op not in ("call_function", "call_method") or node.meta.get("role") is not Role.ADDITION:
        return False
    return operator_name(node.target) in names and len(node.args) == 2 and not node.kwargs
