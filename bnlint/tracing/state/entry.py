"""One thing that belongs to the process."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One thing that belongs to the process, and that any code can change.

    Attributes:
        name: What it is, in words.
        read: Gives what has to be known to put it back.
        put_back: Makes it what it was, given what was read before.
        changed: Whether two readings differ; what stayed as it was is left alone.
        is_random: Whether it is the state of a generator of random numbers.
    """

    name: str
    read: Callable[[], Any]
    put_back: Callable[[Any], object]
    changed: Callable[[Any, Any], object] = operator.ne
    is_random: bool = False


def always(_before: object, _after: object) -> bool:
    """For what is as cheap to put back as to compare."""
    return True


def is_other(before: object, after: object) -> bool:
    """For objects that count by identity, whatever they say to `==`."""
    return before is not after


def are_others(before: tuple[object, ...], after: tuple[object, ...]) -> bool:
    """The same for several."""
    return len(before) != len(after) or any(one is not two for one, two in zip(before, after, strict=True))
