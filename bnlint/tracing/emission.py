"""How each torch function stands in the graph."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch

from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_role


@dataclass(frozen=True, slots=True)
class Emission:
    """How a torch function stands in the graph, worked out once for each function.

    Attributes:
        name: Bare name, with the trailing underscore.
        op: `call_method`, `call_function`, or empty for an attribute of a tensor.
        target: Method name, function, or attribute name.
        role: Role by the table.
        writes: Whether the call changes its first argument.
    """

    name: str
    op: str
    target: Any
    role: Role
    writes: bool


_WRITING_OPERATORS = frozenset({"__setitem__", "__iadd__", "__imul__", "__isub__", "__itruediv__", "__idiv__"})
_emissions: dict[Any, Emission] = {}


def emission_of(func: Any) -> Emission:
    """How a torch function stands in the graph."""
    emission = _emissions.get(func)
    if emission is None:
        emission = _emissions[func] = _work_out(func)
    return emission


def _work_out(func: Any) -> Emission:
    name = func.__name__
    owner = getattr(func, "__self__", None)
    if name in ("__get__", "__set__"):
        attribute = getattr(owner, "__name__", str(owner))
        return Emission(attribute, "", attribute, operator_role(attribute), name == "__set__")
    writes = (name.endswith("_") and not name.endswith("__")) or name in _WRITING_OPERATORS
    role = operator_role(name)
    if name == "__getitem__":
        return Emission(name, "call_function", operator.getitem, role, False)
    if name == "__setitem__":
        return Emission(name, "call_function", operator.setitem, role, True)
    if getattr(torch.Tensor, name, None) is func:
        return Emission(name, "call_method", name, role, writes)
    return Emission(name, "call_function", func, role, writes)
