"""Which functions of torch normalise, and what a call of one is given."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch._ops import OpOverload, OpOverloadPacket

from bnlint.norms.kinds import NormKind
from bnlint.norms.operators import CANONICAL, FUNCTIONS, OPERATORS, NormOperator

_KNOWN: Final[dict[Hashable, NormOperator]] = {
    **{getattr(torch, name): operator for name, operator in OPERATORS.items() if hasattr(torch, name)},
    **{getattr(F, name): function for name, function in FUNCTIONS.items()},
}

_OWN: Final = frozenset({"aten", "quantized"})
"""Namespaces of operators that do what their name says."""


def function_of_kind(kind: NormKind) -> Callable[..., Any]:
    """The function of torch that stands for a kind of normalisation in a graph that comes from elsewhere."""
    function: Callable[..., Any] = getattr(torch, str(kind), None) or getattr(F, str(kind))
    return function


def norm_operator(target: object) -> NormOperator | None:
    """What a function does, if it normalises.

    Args:
        target: The target of a call: a function of `torch` or of `torch.nn.functional`, an operator such as
            `torch.ops.aten.batch_norm.default`, or anything else.

    Returns:
        `None` for anything else, functions of others that have the same name among them.
    """
    if isinstance(target, (OpOverload, OpOverloadPacket)):
        packet = target.overloadpacket if isinstance(target, OpOverload) else target
        namespace = packet._qualified_op_name.partition("::")[0]
        return OPERATORS.get(packet.__name__) if namespace in _OWN else None
    return _KNOWN.get(target) if isinstance(target, Hashable) else None


def arguments_of(
    operator: NormOperator, target: object, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """What a call is given, by the names of `NormOperator.arguments`.

    Args:
        operator: What `norm_operator` says of the target.
        target: The target of the call.
        args: Its arguments.
        kwargs: Its keyword arguments.
    """
    names = _schema(target) if isinstance(target, OpOverload) else operator.arguments
    given = dict(zip(names, args, strict=False)) | {CANONICAL.get(name, name): value for name, value in kwargs.items()}
    return {**operator.optional, **given}


@cache
def _schema(target: OpOverload) -> tuple[str, ...]:
    """An overload may leave out arguments that others take: `_native_batch_norm_legit.no_stats` has no statistics."""
    return tuple(CANONICAL.get(argument.name, argument.name) for argument in target._schema.arguments)
