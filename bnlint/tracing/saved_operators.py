"""Operators by the names that exported programs call them; only those that are registered already."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NoReturn

import torch

_NAME: Final = re.compile(r"torch\.ops\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)", re.ASCII)

_ON_NUMBERS: Final = {
    f"{function.__module__}.{function.__name__}": function
    for function in (
        operator.eq, operator.ne, operator.le, operator.ge, operator.lt, operator.gt, operator.neg, operator.pos,
        operator.mul, operator.add, operator.sub, operator.floordiv, operator.mod, operator.pow, operator.truediv,
        operator.and_, operator.or_, operator.lshift, operator.rshift, math.trunc,
        torch.sym_not, torch.sym_int, torch.sym_float, torch.sym_ite, torch.sym_max, torch.sym_min,
    )
}  # fmt: skip
"""What is computed from sizes, by name: `_SYM_OPS` of `torch/_export/serde/serialize.py`."""


def unknown_operator(*_: Any, **__: Any) -> NoReturn:
    """Stands in a graph for an operator that is not registered in this process.

    Raises:
        NotImplementedError: Always: a graph with it can be read and not run.
    """
    raise NotImplementedError("the operator is not registered in this process")


def operator_named(name: str) -> Callable[..., Any]:
    """Look an operator up; nothing is imported and nothing is called.

    Args:
        name: As in the file, such as `torch.ops.aten.conv2d.default` or `_operator.add`.

    Returns:
        The operator; `unknown_operator` where none of this name is registered.
    """
    if name in _ON_NUMBERS:
        return _ON_NUMBERS[name]
    match = _NAME.fullmatch(name)
    if match is None:
        return unknown_operator
    namespace, operation, overload = match.groups()
    registered = f"{namespace}::{operation}" + ("" if overload == "default" else f".{overload}")
    if registered not in _registered():
        return unknown_operator
    found: torch._ops.OpOverload = getattr(getattr(getattr(torch.ops, namespace), operation), overload)
    return found


@cache
def _registered() -> frozenset[str]:
    return frozenset(torch._C._dispatch_get_all_op_names())
