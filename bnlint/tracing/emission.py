"""How each torch function stands in the graph."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket

from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name, operator_role


@dataclass(frozen=True, slots=True)
class Emission:
    """How a torch function stands in the graph, worked out once for each function.

    Attributes:
        name: Bare name, with the trailing underscore.
        op: `call_method`, `call_function`, or empty for an attribute of a tensor.
        target: Method name, function, or attribute name.
        role: Role by the table.
        writes: Whether the call changes one of its arguments.
        written: Which: positions and names.
    """

    name: str
    op: str
    target: Any
    role: Role
    writes: bool
    written: tuple[tuple[int, str], ...] = ((0, "self"),)


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
    if isinstance(func, (OpOverload, OpOverloadPacket)) and "::" in operator_name(func):
        return _of_another_library(func)
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


def _of_another_library(func: Any) -> Emission:
    """Nothing is known of such an operator but the arguments that it says it changes."""
    overloads = [func]
    if isinstance(func, OpOverloadPacket):
        overloads = [getattr(func, name) for name in func.overloads()]  # type: ignore[no-untyped-call]
    written = tuple(
        (position, argument.name)
        for overload in overloads
        for position, argument in enumerate(overload._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
    return Emission(operator_name(func), "call_function", func, operator_role(func), bool(written), written)
