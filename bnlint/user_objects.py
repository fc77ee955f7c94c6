"""Reads anything of the user's, which may raise anything while it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

from bnlint.interruption import OutOfTime, is_interruption

T = TypeVar("T")


def guarded(read: Callable[[], T], default: T) -> T:
    """What a look at an object of the user's gives; the default where its code raises."""
    try:
        return read()
    except BaseException as error:
        if isinstance(error, OutOfTime) or is_interruption(error):
            raise
        return default


def is_a(value: object, kind: type[T]) -> TypeGuard[T]:
    """Whether an object is of a class by its type; `isinstance` goes on to ask the object itself for `__class__`."""
    return issubclass(type(value), kind)


def attribute(holder: object, name: str, default: Any = None) -> Any:
    """An attribute of anything of the user's; the default where there is none, and where reading it raises."""
    try:  # as `guarded` does, for the recorder asks at every call of a layer
        return getattr(holder, name, default)
    except BaseException as error:
        if isinstance(error, OutOfTime) or is_interruption(error):
            raise
        return default


def is_set(module: object, name: str) -> bool:
    """An attribute as true or false; false where there is none, and where reading it, or asking it, raises."""
    return guarded(lambda: bool(getattr(module, name, False)), False)
