"""Puts back what a run has written, in Python, to objects that the original shares with its copies."""

from __future__ import annotations

import collections
import contextvars
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from bnlint.tracing.copying.atoms import ATOMIC, ATOMIC_TYPES, is_of_a_library
from bnlint.tracing.copying.functions import is_empty
from bnlint.tracing.copying.reach import held_by

_MOST = 100_000
"""Objects that are remembered; what holds more is a data set, not a cache."""

_LARGEST_ARRAY = 1 << 20
"""Bytes of an array of numpy whose values are remembered."""


class PutBack:
    """Remembers what objects hold, and what that holds.

    Modules, containers, variables of closures, plain objects and small arrays of numpy are remembered, of tensors the
    gradient, the memory and the flags: what an operation would write into it is refused elsewhere.

    Args:
        roots: The objects.
        classes: Classes, of which the attributes are remembered.
        names: Dicts of globals with names in them, which need not be there yet.
    """

    def __init__(
        self, roots: Iterable[Any], classes: Iterable[type] = (), names: Iterable[tuple[dict[str, Any], str]] = ()
    ) -> None:
        self._undo = [*map(_undo_class, classes), *(_undo_name(namespace, name) for namespace, name in names)]
        pending, seen = list(roots), set[int]()
        alive = []
        while pending and len(seen) < _MOST:
            item = pending.pop()
            if type(item) in ATOMIC_TYPES or id(item) in seen or isinstance(item, ATOMIC):
                continue
            seen.add(id(item))
            alive.append(item)
            pending += self._remember(item)
        self._alive = alive

    def restore(self) -> None:
        """Put back what has changed since."""
        for undo in self._undo:
            undo()

    def _remember(self, item: Any) -> Iterable[Any]:
        """Remember one object; gives what it holds."""
        if isinstance(item, Tensor):
            self._undo.append(_undo_tensor(item))
            return [vars(item)]
        if isinstance(item, numpy.ndarray):
            return self._remember_array(item)
        known = next((undo for kinds, undo in _CONTAINERS if isinstance(item, kinds)), None)
        if known is not None:
            self._undo.append(known(item))
            return _contents(item)
        if isinstance(item, types.FunctionType):
            return [] if is_of_a_library(item) else held_by(item)
        if isinstance(item, nn.Module):
            return [vars(item)]
        slots = list(_slots(item))
        if slots:
            self._undo.append(_undo_slots(item, slots))
        return [*(value for _, value in slots), *([vars(item)] if hasattr(item, "__dict__") else held_by(item))]

    def _remember_array(self, item: numpy.ndarray) -> Iterable[Any]:
        if item.nbytes > _LARGEST_ARRAY or not item.flags.writeable:
            return []
        before = item.copy()

        def undo() -> None:
            if item.tobytes() != before.tobytes():
                item[...] = before

        self._undo.append(undo)
        return item.flat if item.dtype == object else []


def _contents(item: Any) -> Iterator[Any]:
    if isinstance(item, types.CellType):
        yield from () if is_empty(item) else (item.cell_contents,)
    elif isinstance(item, contextvars.ContextVar):
        yield item.get(None)
    elif isinstance(item, dict):
        for key, value in dict.items(item):
            yield key
            yield value
    else:
        yield from item


def _undo_class(kind: type) -> Callable[[], None]:
    before = dict(vars(kind))

    def undo() -> None:
        now = vars(kind)
        for name, value in before.items():
            if now.get(name) is not value:
                setattr(kind, name, value)
        for name in [name for name in now if name not in before and not name.startswith("__")]:
            delattr(kind, name)

    return undo


def _undo_name(namespace: dict[str, Any], name: str) -> Callable[[], None]:
    absent = object()
    before = namespace.get(name, absent)

    def undo() -> None:
        if before is absent:
            namespace.pop(name, None)
        elif namespace.get(name, absent) is not before:
            namespace[name] = before

    return undo


def _undo_dict(item: dict[Any, Any]) -> Callable[[], None]:
    kind: Any = collections.OrderedDict if isinstance(item, collections.OrderedDict) else dict
    before = list(dict.items(item))

    def undo() -> None:
        now = list(dict.items(item))
        if not _same([part for pair in before for part in pair], [part for pair in now for part in pair]):
            kind.clear(item)
            for key, value in before:
                kind.__setitem__(item, key, value)

    return undo


def _undo_list(item: list[Any]) -> Callable[[], None]:
    before = list(item)

    def undo() -> None:
        if not _same(before, list(item)):
            list.__setitem__(item, slice(None), before)

    return undo


def _undo_refilled(item: Any) -> Callable[[], None]:
    """For sets and deques, which are emptied and filled again."""
    before = list(item)

    def undo() -> None:
        if not _same(before, list(item)):
            item.clear()
            (item.update if isinstance(item, set) else item.extend)(before)

    return undo


def _undo_bytes(item: bytearray) -> Callable[[], None]:
    before = bytes(item)

    def undo() -> None:
        item[:] = before

    return undo


def _undo_cell(cell: types.CellType) -> Callable[[], None]:
    empty = is_empty(cell)
    before = None if empty else cell.cell_contents

    def undo() -> None:
        if empty:
            del cell.cell_contents
        elif is_empty(cell) or cell.cell_contents is not before:
            cell.cell_contents = before

    return undo


def _undo_variable(variable: contextvars.ContextVar[Any]) -> Callable[[], None]:
    before = variable.get(None)

    def undo() -> None:
        if variable.get(None) is not before:
            variable.set(before)

    return undo


def _undo_tensor(tensor: Tensor) -> Callable[[], None]:
    gradient = tensor.grad if tensor.is_leaf else None
    learns, alias = tensor.requires_grad, tensor.detach()

    def undo() -> None:
        if tensor.is_leaf and tensor.grad is not gradient:
            tensor.grad = gradient
        if tensor.is_leaf and tensor.requires_grad is not learns:
            tensor.requires_grad_(learns)
        if not tensor.is_set_to(alias) if tensor.layout is torch.strided and not alias.is_meta else False:
            tensor.data = alias

    return undo


def _undo_slots(item: Any, before: list[tuple[str, Any]]) -> Callable[[], None]:
    def undo() -> None:
        for name, value in before:
            if getattr(item, name, None) is not value:
                object.__setattr__(item, name, value)

    return undo


def _slots(item: Any) -> Iterator[tuple[str, Any]]:
    for kind in type(item).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, types.MemberDescriptorType) and not is_of_a_library(kind):
                try:
                    yield name, member.__get__(item)
                except AttributeError:
                    continue


def _same(one: list[Any], two: list[Any]) -> bool:
    return len(one) == len(two) and all(a is b for a, b in zip(one, two, strict=True))


_CONTAINERS: tuple[tuple[tuple[type, ...], Callable[[Any], Callable[[], None]]], ...] = (
    ((dict,), _undo_dict),
    ((list,), _undo_list),
    ((set, collections.deque), _undo_refilled),
    ((bytearray,), _undo_bytes),
    ((types.CellType,), _undo_cell),
    ((contextvars.ContextVar,), _undo_variable),
)
