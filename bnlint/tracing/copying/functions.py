"""Copies of functions and what stands for them: closures, defaults, attributes, methods, partial calls, caches."""

from __future__ import annotations

import types
from typing import Any

from bnlint.artifacts.names import joined
from bnlint.tracing.copying.lru_caches import cache_beside
from bnlint.tracing.copying.memo import Follow, Memo
from bnlint.tracing.copying.reach import keeps_state

BUILTIN_METHODS = (types.BuiltinMethodType, types.MethodWrapperType)


def copied_function(value: types.FunctionType, path: str, follow: Follow, memo: Memo) -> Any:
    """A function over copies of its closure, defaults and attributes; the function itself where it keeps nothing."""
    if not keeps_state(value):
        return memo.remember(value, value)
    cells = value.__closure__ or ()
    fresh = {name: cell for name, cell in zip(value.__code__.co_freevars, cells, strict=True) if memo.get(cell) is None}
    closure = tuple(memo.get(cell) or memo.remember(cell, types.CellType()) for cell in cells)  # functions may share
    new = types.FunctionType(value.__code__, value.__globals__, value.__name__, None, closure or None)
    memo.remember(value, new)
    for name, cell in fresh.items():
        if not is_empty(cell):
            memo.get(cell).cell_contents = follow(cell.cell_contents, joined(path, name))
    new.__defaults__ = None if value.__defaults__ is None else tuple(follow(i, path) for i in value.__defaults__)
    new.__kwdefaults__ = _followed(value.__kwdefaults__, path, follow)
    new.__dict__.update(_followed(value.__dict__, path, follow) or {})
    new.__qualname__, new.__module__, new.__doc__ = value.__qualname__, value.__module__, value.__doc__
    new.__annotations__ = value.__annotations__
    return new


def _followed(values: dict[str, Any] | None, path: str, follow: Follow) -> dict[str, Any] | None:
    return None if values is None else {name: follow(item, joined(path, name)) for name, item in values.items()}


def copied_method(value: types.MethodType, path: str, follow: Follow, memo: Memo) -> Any:
    """A method of the copy of its owner."""
    return memo.remember(value, types.MethodType(follow(value.__func__, path), follow(value.__self__, path)))


def copied_builtin(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """A method in C of the copy of its owner, such as `collected.append`; a function in C stays."""
    owner = value.__self__
    if owner is None or isinstance(owner, (type, types.ModuleType)):
        return value
    new = follow(owner, path)
    return value if new is owner else memo.remember(value, getattr(new, value.__name__))


def copied_partial(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """A partial call of the copy, with copies of its arguments."""
    args = [follow(item, path) for item in value.args]
    kwargs = {name: follow(item, path) for name, item in value.keywords.items()}
    new = memo.remember(value, type(value)(follow(value.func, path), *args, **kwargs))
    new.__dict__.update(_followed(vars(value), path, follow) or {})
    return new


def copied_cache(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """A cache of its own beside that of `functools.lru_cache`, which it does not fill."""
    inner = follow(value.__wrapped__, path)
    return memo.remember(value, cache_beside(value, inner, lambda result: follow(result, path)))


def is_empty(cell: types.CellType) -> bool:
    """Whether a variable of a closure has no value yet, or no more."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False
