"""What the code of a model sees beside the model: globals, variables of closures, defaults, attributes of classes.

Classes and their functions are not copied, so what hangs on them is shared by the original and its copies.
"""

from __future__ import annotations

import dis
import enum
import functools
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from bnlint.tracing.copying.atoms import ATOMIC, is_of_a_library
from bnlint.tracing.copying.functions import is_empty
from bnlint.tracing.copying.lru_caches import LRU_CACHE

_NOT_OF_A_FORWARD = frozenset({
    "__init__", "__new__", "__repr__", "__setstate__", "__getstate__", "__reduce__", "extra_repr", "__init_subclass__",
    "__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__slots__", "__qualname__",
    "__parameters__", "__orig_bases__", "__static_attributes__", "__firstlineno__", "__match_args__",
    "__dataclass_fields__", "__dataclass_params__", "__abstractmethods__", "_abc_impl",
})  # fmt: skip
"""What a class has that no call of its objects reads or writes."""

_NO_HOLDERS = (
    *ATOMIC, types.FunctionType, types.BuiltinFunctionType, staticmethod, classmethod, property,
    functools.cached_property, types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType,
    types.GetSetDescriptorType, types.MemberDescriptorType,
)  # fmt: skip

_STORE_GLOBAL = dis.opmap["STORE_GLOBAL"]


@dataclass(frozen=True)
class Place:
    """Where the code of a model finds something.

    Attributes:
        name: The name that the code uses.
        words: The place in words, such as "the global `BACKBONE`".
        value: What is there.
        put: Puts something else there; `None` where that cannot be done.
    """

    name: str
    words: str
    value: Any
    put: Callable[[Any], None] | None = None


class Surroundings:
    """What code sees that could hold a part of a model, or a part of a run; of Python, numpy and torch nothing.

    Args:
        classes: The classes of the modules of a model.
        functions: Further functions that may be called.

    Attributes:
        places: The places where there is something that may hold more, each once.
        classes: The classes whose code was looked at; an attribute may be set on each.
        holders: The variables of closures, and the attributes of functions.
        names: Dicts of globals, with the names that code reads or writes there.
    """

    def __init__(self, classes: Iterable[type], functions: Iterable[types.FunctionType] = ()) -> None:
        self.places: list[Place] = []
        self.classes: list[type] = []
        self.holders: list[Any] = []
        self.names: list[tuple[dict[str, Any], str]] = []
        self._pending: list[type | types.FunctionType] = [*classes, *functions]
        self._walk()

    def _walk(self) -> None:
        seen: set[int] = set()
        while self._pending:
            thing = self._pending.pop()
            if id(thing) in seen or is_of_a_library(thing):
                continue
            seen.add(id(thing))
            found = self._of_function(thing) if isinstance(thing, types.FunctionType) else self._of_class(thing)
            for place in found:
                self._pending += _code_of(place.value)
                if holds_cache(place.value) is not None or not isinstance(place.value, _NO_HOLDERS):
                    self.places.append(place)

    def _of_class(self, kind: type) -> Iterator[Place]:
        self.classes.append(kind)
        self._pending += [base for base in kind.__mro__[1:] if base is not object]
        for name, value in list(vars(kind).items()):
            if name not in _NOT_OF_A_FORWARD:
                put = functools.partial(setattr, kind, name)
                yield Place(name, f"the class attribute `{kind.__name__}.{name}`", value, put)

    def _of_function(self, function: types.FunctionType) -> Iterator[Place]:
        code, owner = function.__code__, function.__qualname__
        self.holders += [*(function.__closure__ or ()), function.__dict__]
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if name != "__class__" and not is_empty(cell):
                put = functools.partial(setattr, cell, "cell_contents")
                yield Place(name, f"the variable `{name}` around `{owner}`", cell.cell_contents, put)
        defaults = function.__defaults__ or ()
        names = code.co_varnames[: code.co_argcount][-len(defaults) :] if defaults else ()
        for name, value in [*zip(names, defaults, strict=False), *(function.__kwdefaults__ or {}).items()]:
            yield Place(name, f"the default `{name}` of `{owner}`", value)
        for name, value in list(function.__dict__.items()):
            put = functools.partial(function.__dict__.__setitem__, name)
            yield Place(name, f"the attribute `{name}` of `{owner}`", value, put)
        for inner in _codes_in(code):
            yield from self._of_globals(function.__globals__, inner)

    def _of_globals(self, namespace: dict[str, Any], code: types.CodeType) -> Iterator[Place]:
        names = frozenset(name for name in code.co_names if name.isidentifier())  # pytest puts others into an `assert`
        if _STORE_GLOBAL in code.co_code[::2]:
            self.names += [(namespace, name) for name in names]
        for name in names & namespace.keys():
            value = namespace[name]
            if not isinstance(value, types.ModuleType):
                yield self._global(namespace, name, name)
            elif not is_of_a_library(value) and value.__dict__ is not namespace:
                own = vars(value)
                for inner in names & own.keys():
                    if not isinstance(own[inner], types.ModuleType):
                        yield self._global(own, inner, f"{name}.{inner}")

    def _global(self, namespace: dict[str, Any], name: str, shown: str) -> Place:
        self.names.append((namespace, name))
        return Place(name, f"the global `{shown}`", namespace[name], functools.partial(namespace.__setitem__, name))


def _codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes_in(constant)


def _code_of(value: Any) -> list[type | types.FunctionType]:
    """The functions and the class that a value is code of; a class of modules is looked at if there is one of it."""
    cached = holds_cache(value)
    if isinstance(value, types.FunctionType):
        return [value]
    if cached is not None or isinstance(value, (staticmethod, classmethod)):
        return _code_of((value if cached is None else cached).__wrapped__)
    if isinstance(value, property):
        return [function for function in (value.fget, value.fset) if isinstance(function, types.FunctionType)]
    if isinstance(value, functools.cached_property):
        return _code_of(value.func)
    if isinstance(value, type) and not issubclass(value, (nn.Module, enum.Enum)):
        return [value]
    return []


def holds_cache(value: Any) -> Any:
    """The function with `functools.lru_cache` around it that a value is, also as a static method; `None` for others."""
    inner: Any = value.__wrapped__ if isinstance(value, (staticmethod, classmethod)) else value
    return inner if type(inner) is LRU_CACHE else None
