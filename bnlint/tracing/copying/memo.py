"""What stands for which object of the original."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Follow = Callable[[Any, str], Any]
"""Copies a value that was found at a path, as far as it must be; gives the copy, or the value itself."""


class CannotBeCopied(Exception):  # noqa: N818
    """An object that stands for something outside of Python (a lock, a file, a generator), or whose class refuses."""


def made(make: Callable[..., Any], *args: Any) -> Any:
    """Call what the class of an object may answer in code of its own.

    Raises:
        CannotBeCopied: It raises.
        RecursionError: Too many objects hold one another.
    """
    try:
        return make(*args)
    except RecursionError:
        raise
    except Exception as error:
        raise CannotBeCopied from error


class Memo:
    """The copies by the identity of their originals; both are kept alive.

    Attributes:
        copies: As the memo of `copy.deepcopy`, which may read and extend it.
    """

    def __init__(self) -> None:
        self.copies: dict[int, Any] = {}
        self._alive: list[Any] = []

    def remember(self, value: Any, new: Any) -> Any:
        """Note that an object stands for another, or for itself, and give it back."""
        self.copies[id(value)] = new
        self._alive.append((value, new))
        return new

    def originals(self) -> list[Any]:
        """The objects that something stands for."""
        return [value for value, _ in self._alive]

    def get(self, value: object) -> Any:
        """What stands for an object; `None` where nothing does yet."""
        return self.copies.get(id(value))
