"""Copies of plain objects: attribute by attribute where Python would, else as `copy.deepcopy` does."""

from __future__ import annotations

import array
import collections
import contextvars
import copy
import copyreg
import io
import random
import types
from argparse import Namespace
from typing import Any

import numpy

from bnlint.artifacts.names import joined
from bnlint.tracing.copying.atoms import is_standard
from bnlint.tracing.copying.memo import CannotBeCopied, Follow, Memo, made
from bnlint.tracing.copying.reach import reached

_KEEP_STATE = (
    types.SimpleNamespace, Namespace, collections.UserDict, collections.UserList, collections.ChainMap, bytearray,
    array.array, io.StringIO, io.BytesIO, random.Random, numpy.random.Generator, numpy.random.RandomState,
)  # fmt: skip
"""What of Python and numpy models keep between calls; the rest is copied only where it holds a part of a model."""


def copied_object(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """A copy of a plain object, or the object itself where it holds nothing that a run could change.

    Args:
        value: The object.
        path: Where it was found.
        follow: Copies what it holds.
        memo: Remembers the copy.

    Raises:
        CannotBeCopied: It has to be shared.
    """
    kind = type(value)
    if kind.__module__.startswith("torch._C"):
        return value
    made_in_python = hasattr(value, "__dict__") or hasattr(kind, "__slots__")
    of_a_library = is_standard(kind) or not made_in_python
    if kind is contextvars.ContextVar:
        raise CannotBeCopied
    if of_a_library and not isinstance(value, _KEEP_STATE) and not any(True for _ in reached(value)):
        if hasattr(value, "__dict__"):  # such as a queue: it may hold something after the run
            raise CannotBeCopied
        return value
    state = _plain_state(value)
    if state is None:
        return _by_deepcopy(value, path, follow, memo)
    new = memo.remember(value, kind() if kind is types.SimpleNamespace else object.__new__(kind))
    for name, item in state[0].items():
        new.__dict__[name] = follow(item, joined(path, str(name)))
    for name, item in state[1].items():
        object.__setattr__(new, name, follow(item, joined(path, name)))
    return new


def _plain_state(value: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Attributes in the dict and in slots of an object that Python itself would copy by these; `None` for others."""
    kind: Any = type(value)
    if any(hasattr(kind, name) for name in ("__deepcopy__", "__setstate__", "__getnewargs_ex__")):
        return None
    reduced = made(kind.__reduce_ex__, value, 4)
    if not isinstance(reduced, tuple):  # the name of a global
        return None
    make, arguments, state, *others = reduced if len(reduced) > 2 else (*reduced, None)
    by_attribute = make in (copyreg.__newobj__, types.SimpleNamespace) and len(arguments) < 2  # type: ignore[attr-defined]
    if not by_attribute or any(item is not None for item in others) or kind.__getstate__ is not object.__getstate__:
        return None
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    return attributes or {}, slots or {}


def _by_deepcopy(value: Any, path: str, follow: Follow, memo: Memo) -> Any:
    """What it holds of the model is copied first, and put where `copy.deepcopy` looks."""
    for item in list(reached(value)):
        follow(item, path)
    known = memo.get(value)
    if known is not None:
        return known
    return memo.remember(value, made(copy.deepcopy, value, memo.copies))
