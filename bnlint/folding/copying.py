"""Copies models: `copy.deepcopy`, sped up where that changes nothing, and with functions that know the copy."""

from __future__ import annotations

import copy
import functools
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, TypeVar

from torch import nn

from bnlint.artifacts.user_code import described
from bnlint.errors import NotAnalysedError
from bnlint.interruption import pass_on
from bnlint.tracing.copying.atoms import ATOMIC_TYPES
from bnlint.tracing.copying.functions import is_empty
from bnlint.tracing.copying.reach import reached
from bnlint.tracing.live import named_modules, tensors

_Module = TypeVar("_Module", bound=nn.Module)
_CONTAINERS = frozenset({dict, OrderedDict, set, list})


def copied(model: _Module, memo: dict[int, Any]) -> _Module:
    """Copy a model as `copy.deepcopy` does, but with the functions that hold a part of it.

    `copy.deepcopy` shares all functions: a `forward` in a decorator, or a hook, would go on calling the original.

    A module has a dozen containers, nearly all of them empty, and `copy.deepcopy` takes an empty one to pieces at the
    cost of a full one. New ones are put in its memo instead.

    Args:
        model: The model; it is not changed.
        memo: What stands for which object, by the identity of the object; it grows as that of `copy.deepcopy` does.

    Raises:
        NotAnalysedError: If it holds something that cannot be copied, such as a lock, or a weight of `weight_norm`.
    """
    for _, module in named_modules(model):
        for value in vars(module).values():
            if type(value) in _CONTAINERS and not value and id(value) not in memo:
                memo[id(value)] = type(value)()
    functions = _Functions(model, memo)
    functions.prepare()
    try:
        twin = copy.deepcopy(model, memo)
        functions.fill()
        return twin
    except BaseException as error:  # the classes of what it holds may raise anything
        pass_on(error)
        cause = f"The model cannot be copied, as `copy.deepcopy` does it: {described(error)}."
        raise NotAnalysedError(cause, "Take out what cannot be copied, and fold then.") from error


class _Functions:
    """The functions that hold modules, or weights of the model; what else they hold stays the user's."""

    def __init__(self, model: nn.Module, memo: dict[int, Any]) -> None:
        self._memo = memo
        self._own = {id(tensor) for tensor in tensors(model)}
        held = {id(item): item for _, module in named_modules(model) for item in _functions(module)}
        self._functions = [item for item in held.values() if self._holds_part(item)]

    def prepare(self) -> None:
        """Make a function for each, with nothing in its variables yet."""
        for function in self._functions:
            cells = tuple(self._memo.setdefault(id(cell), types.CellType()) for cell in function.__closure__ or ())
            new = types.FunctionType(function.__code__, function.__globals__, function.__name__, None, cells or None)
            self._memo[id(function)] = functools.update_wrapper(new, function, updated=())

    def fill(self) -> None:
        """Give them what they hold, now that there are copies of it."""
        for function in self._functions:
            new = self._memo[id(function)]
            for cell in function.__closure__ or ():
                if not is_empty(cell) and is_empty(self._memo[id(cell)]):
                    self._memo[id(cell)].cell_contents = self._copied(cell.cell_contents)
            new.__defaults__ = self._copied(function.__defaults__)
            new.__kwdefaults__ = self._copied(function.__kwdefaults__)
            new.__dict__.update(self._copied(vars(function)))

    def _copied(self, value: Any) -> Any:
        return copy.deepcopy(value, self._memo) if self._holds_part(value) else value

    def _holds_part(self, value: object) -> bool:
        return any(isinstance(item, nn.Module) or id(item) in self._own for item in reached(value))


def _functions(module: nn.Module) -> Iterator[types.FunctionType]:
    tables = ("_parameters", "_buffers", "_modules")
    own = [value for name, value in vars(module).items() if name not in tables and type(value) not in ATOMIC_TYPES]
    return (item for value in own for item in reached(value) if isinstance(item, types.FunctionType))
