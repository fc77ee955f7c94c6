"""What an object reaches, whatever it is made of: the modules, tensors and functions that it holds."""

from __future__ import annotations

import contextvars
import gc
import types
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import numpy
from torch import Tensor, nn

from bnlint.tracing.copying.atoms import ATOMIC_TYPES, is_torch_code

_MOST = 20_000
"""Objects that are looked at; a holder of more is a data set."""

_ENDS = (Tensor, nn.Module)


def reached(value: object) -> Iterator[Any]:
    """The tensors, modules and functions that an object holds, in itself or in what it holds.

    Args:
        value: Any object. Modules and tensors are not looked into, nor are the globals of functions.

    Yields:
        Each of them once.
    """
    pending, seen = [value], {id(value)}
    while pending and len(seen) < _MOST:
        item = pending.pop()
        kind = type(item)
        if kind in ATOMIC_TYPES or issubclass(kind, type):
            continue
        if issubclass(kind, _ENDS):
            yield item
            continue
        if kind is types.FunctionType:
            yield item
        for held in held_by(item):
            if id(held) not in seen:
                seen.add(id(held))
                pending.append(held)


def held_by(item: Any) -> Iterable[Any]:
    """What an object holds itself."""
    if isinstance(item, types.FunctionType):
        return [*(item.__closure__ or ()), *(item.__defaults__ or ()), *own_values(item)]
    if isinstance(item, contextvars.ContextVar):
        return [item.get(None)]
    if isinstance(item, numpy.ndarray) and item.dtype.hasobject:  # of which the collector knows nothing
        return list(item.flat)
    if isinstance(item, weakref.ref):
        return [item(), *gc.get_referents(item)]
    return gc.get_referents(item)


def own_values(function: types.FunctionType) -> list[Any]:
    """The defaults of keyword arguments and the attributes of a function."""
    return [*(function.__kwdefaults__ or {}).values(), *function.__dict__.values()]


def holds_model(value: object) -> bool:
    """Whether an object reaches a module or a tensor."""
    return any(isinstance(item, _ENDS) for item in reached(value))


def keeps_state(function: types.FunctionType) -> bool:
    """Whether a call of a function may read or write a part of a model, or something that it keeps between calls.

    Functions of torch itself keep nothing, but may stand around one that does.
    """
    for item in reached(function):
        if isinstance(item, _ENDS):
            return True
        if not is_torch_code(item) and any(map(_can_be_written, held_by(item))):
            return True
    return False


def _can_be_written(value: Any) -> bool:
    if isinstance(value, types.CellType):
        return any(map(_can_be_written, gc.get_referents(value)))
    if isinstance(value, types.BuiltinMethodType):
        return _can_be_written(value.__self__)
    return not isinstance(value, (*ATOMIC_TYPES, types.FunctionType, tuple, frozenset))
