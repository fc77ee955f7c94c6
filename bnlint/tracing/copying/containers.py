"""Copies of containers: those of Python, of `collections`, weak ones, views, and arrays of numpy."""

from __future__ import annotations

import collections
import copy
import gc
import types
import weakref
from typing import Any

import numpy
from torch import Tensor, nn

from bnlint.artifacts.names import joined
from bnlint.tracing.copying.memo import Follow, Memo, made

LARGEST_ARRAY = 1 << 26
"""Bytes of an array of numpy that is copied; a larger one is lent, and cannot be written to."""

VIEWS = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}
PROXIES = (weakref.ProxyType, weakref.CallableProxyType)
WEAK = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)
SEQUENCES = (list, tuple, set, frozenset, collections.deque)

PLAIN_DICTS = (dict, collections.OrderedDict)
_WITHOUT_ATTRIBUTES = frozenset({*PLAIN_DICTS, *SEQUENCES, collections.defaultdict, collections.Counter})

_KEYS = (Tensor, nn.Module, tuple, frozenset, weakref.ref, types.MethodType)
"""Kinds of keys that may be, or hold, a part of the model; others have to stay equal to what the code asks for."""


def copied_dict(value: dict[Any, Any], path: str, follow: Follow, memo: Memo, members: bool = False) -> Any:
    """A dict of the same class with copies of its values.

    Args:
        value: The dict.
        path: Where it was found.
        follow: Copies what it holds.
        memo: Remembers the copy.
        members: Whether its keys are names, as those of the tables of a module are.
    """
    new: Any = type(value)() if type(value) in PLAIN_DICTS else made(copy.copy, value)
    memo.remember(value, new)
    for key, item in dict.items(value):
        place = joined(path, str(key)) if members else f"{path}[{key!r}]" if type(key) in (str, int) else path
        own = follow(key, place) if isinstance(key, _KEYS) else key
        if own is not key:
            dict.pop(new, key, None)
        new[own] = follow(item, place)
    if isinstance(value, collections.defaultdict):
        new.default_factory = follow(value.default_factory, path)
    return _with_attributes(new, path, follow)


def copied_sequence(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """A list, tuple, set or deque of the same class with copies of its items."""
    if isinstance(value, (list, set, collections.deque)):
        return _copied_in_place(value, path, follow, memo)
    items = [follow(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if memo.get(value) is not None:  # an item led back to it
        return memo.get(value)
    make = type(value)
    new = memo.remember(value, made(make, *items) if hasattr(value, "_fields") else made(make, items))
    return _with_attributes(new, path, follow)


def _copied_in_place(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """What can be written to is remembered first, since it may hold itself."""
    new = memo.remember(value, made(copy.copy, value))
    items = [follow(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, list):
        new[:] = items
    else:
        new.clear()
        (new.update if isinstance(value, set) else new.extend)(items)
    return _with_attributes(new, path, follow)


def _with_attributes(new: Any, path: str, follow: Follow) -> Any:
    """The copy of a container whose class may give it attributes beside its items."""
    if type(new) in _WITHOUT_ATTRIBUTES:
        return new
    attributes: Any = getattr(new, "__dict__", None)
    for name, item in list(attributes.items()) if isinstance(attributes, dict) else ():
        attributes[name] = follow(item, joined(path, str(name)))
    return new


def copied_weak(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """A weak dictionary or set of the copies, which the memo keeps alive."""
    new = memo.remember(value, type(value)())
    if isinstance(value, weakref.WeakSet):
        for item in list(value):
            new.add(follow(item, path))
        return new
    for key, item in list(value.items()):
        new[follow(key, path) if isinstance(value, weakref.WeakKeyDictionary) else key] = follow(item, path)
    return new


def copied_reference(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """A weak reference to the copy: a parent, or the dict out of which a handle removes its hook."""
    target = value()
    if target is None:
        return value
    new = follow(target, path)
    memo.remember(target, new)  # a method is made anew by each call, and nothing else would keep it
    return memo.remember(value, type(value)(new))


def copied_proxy(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """A weak proxy of the copy."""
    try:
        target = value.__repr__.__self__
    except ReferenceError:
        return value
    return memo.remember(value, weakref.proxy(follow(target, path)))


def copied_view(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """The keys, values or items of a copy of the dict behind them."""
    (behind,) = gc.get_referents(value)
    return memo.remember(value, getattr(follow(behind, path), VIEWS[type(value)])())


def copied_mapping_proxy(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """A read-only mapping of a copy of the dict behind it; that of a class stays."""
    (behind,) = gc.get_referents(value)
    if isinstance(behind, dict) and "__module__" in behind and "__dict__" in behind:
        return value
    return memo.remember(value, types.MappingProxyType(follow(behind, path)))


def copied_array(value: numpy.ndarray, path: str, follow: Follow, memo: Memo) -> Any:
    """An array of numpy with values of its own, item by item where these are objects."""
    if value.nbytes > LARGEST_ARRAY:
        lent = value.view()
        lent.flags.writeable = False
        return memo.remember(value, lent)
    new: Any = memo.remember(value, copy.copy(value))
    if value.dtype == object:
        for index in numpy.ndindex(value.shape):
            new[index] = follow(value[index], f"{path}[{', '.join(map(str, index))}]")
    return new
