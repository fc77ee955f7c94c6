"""A cache beside that of `functools.lru_cache`: it knows what the user's holds, and keeps what is new for itself."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from itertools import takewhile
from typing import Any

LRU_CACHE: type = type(functools.cache(lambda: None))
_make_key: Callable[..., Any] = functools._make_key


def cache_beside(cached: Any, function: Callable[..., Any], own: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function that answers from the cache of another, and never writes to it.

    Args:
        cached: A function with `functools.lru_cache` around it.
        function: What to call where neither cache has an answer.
        own: Makes of an answer of the user's cache one for the run.

    Returns:
        A function; its cache is not limited, since it lives as long as one look at a model.
    """
    typed = cached.cache_parameters()["typed"]
    added: dict[Any, Any] = {}
    known: dict[Any, Any] | None = None

    @functools.wraps(function)
    def beside(*args: Any, **kwargs: Any) -> Any:
        nonlocal known
        if known is None:
            known = contents(cached)
        key = _make_key(args, kwargs, typed, (_mark_of(cached),))
        key = tuple(key) if isinstance(key, list) else key  # the same key as in C
        if key not in added:
            added[key] = own(known[key]) if key in known else function(*args, **kwargs)
        return added[key]

    beside.cache_clear = added.clear  # type: ignore[attr-defined]
    beside.cache_info = cached.cache_info  # type: ignore[attr-defined]
    beside.cache_parameters = cached.cache_parameters  # type: ignore[attr-defined]
    return beside


def contents(cached: Any) -> dict[Any, Any]:
    """The answers in a cache by its keys; nothing is called, and its counters stay.

    Python tells what a cache refers to: the key and the answer of each link one after the other, where their number is
    limited, then the table by key.

    Args:
        cached: A function with `functools.lru_cache` around it.

    Returns:
        The answers; none where this Python keeps them in another way.
    """
    size = cached.cache_info().currsize
    held = [item for item in gc.get_referents(cached) if not _is_own_class(item)]
    table = next((item for item in held if type(item) is dict and item is not vars(cached) and len(item) == size), None)
    if not table:
        return {}
    if cached.cache_parameters()["maxsize"] is None:
        return dict(table)
    links = list(takewhile(lambda item: item is not table, held))
    return dict(zip(links[::2], links[1::2], strict=True)) if len(links) == 2 * size else {}


def _mark_of(cached: Any) -> object:
    """What stands in a key between the arguments and those with names."""
    return next((item for item in reversed(gc.get_referents(cached)) if type(item) is object), None)


def _is_own_class(item: object) -> bool:
    return isinstance(item, type) and item.__module__ == "functools"
