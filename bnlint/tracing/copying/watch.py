"""Watches every operation of a run, and refuses the first that would touch the memory of the original model."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass

_WRITES_STATISTICS = frozenset({"native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm"})
"""Operators that write to their running statistics without saying so in their schema."""


class LeadsBackError(Exception):
    """The code of a model came to the original while a copy ran."""


class Memory:
    """Pieces of memory that tensors lie in.

    A storage is told by its identity, which also those without memory have (resized to nothing, on the meta device,
    fake), and in CPU memory by its address too: numpy can lend the same memory to several.

    Args:
        tensors: The tensors, each with what it is called.
    """

    def __init__(self, tensors: Iterable[tuple[Tensor, str]]) -> None:
        self._names: dict[int, str] = {}
        self._alive: list[torch.UntypedStorage] = []  # the identity of one that is gone may be that of another
        ranges: dict[int, tuple[int, str]] = {}
        for tensor, name in tensors:
            for storage in _storages(tensor):
                self._alive.append(storage)
                self._names.setdefault(storage._cdata, name)
                start = _address(storage)
                if start:
                    ranges.setdefault(start, (start + storage.nbytes(), name))
        self._starts = sorted(ranges)
        self._ends = [ranges[start] for start in self._starts]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._names)

    def name_of(self, storage: torch.UntypedStorage) -> str | None:
        """What the tensor is called that lies in a storage; `None` where none does."""
        name = self._names.get(storage._cdata)
        if name is not None or not self._starts:
            return name
        address = _address(storage)
        place = bisect_right(self._starts, address) - 1
        if not address or place < 0:
            return None
        end, name = self._ends[place]
        return name if address < end else None


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses what would touch some memory, before it happens.

    Args:
        untouchable: What may be neither read nor written.
        lent: What may be read.
        words: Says, with the name of an untouchable tensor, why it is refused to touch it.

    Attributes:
        refused: The first refusal, also where the code of the model caught it.
    """

    def __init__(self, untouchable: Memory, lent: Memory, words: Callable[[str], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._untouchable = untouchable
        self._lent = lent
        self._words = words
        self.refused: LeadsBackError | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for storage in _storages_in(args, kwargs):
            name = self._untouchable.name_of(storage)
            if name is not None:
                self._refuse(self._words(name))
        if self._lent:
            for storage in _storages_in(_written(func, args, kwargs), {}):
                name = self._lent.name_of(storage)
                if name is not None:
                    self._refuse(f"a run of a copy would write to {name}")
        with torch._C.DisableTorchFunction():  # a recorder has seen the call that this operation is a part of
            return func(*args, **kwargs)

    def _refuse(self, why: str) -> None:
        error = LeadsBackError(why)
        self.refused = self.refused or error
        raise error


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The arguments that an operator writes to."""

    def value(place: int, name: str) -> Any:
        return args[place] if place < len(args) else kwargs.get(name)

    named = {name: place for place, name in enumerate(_names(func))}
    if func._schema.name.rpartition(":")[2] in _WRITES_STATISTICS and value(named["training"], "training"):
        return [value(named[name], name) for name in ("running_mean", "running_var")]
    return [value(place, name) for place, name in _places_written(func)]


@cache
def _names(func: Any) -> tuple[str, ...]:
    return tuple(argument.name for argument in func._schema.arguments)


@cache
def _places_written(func: Any) -> tuple[tuple[int, str], ...]:
    arguments = enumerate(func._schema.arguments)
    return tuple((place, a.name) for place, a in arguments if a.alias_info is not None and a.alias_info.is_write)


def _storages_in(args: Iterable[Any], kwargs: dict[str, Any]) -> Iterator[torch.UntypedStorage]:
    for value in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(value, Tensor):
            yield from _storages(value)
        elif isinstance(value, (list, tuple)):
            yield from _storages_in(value, {})
        elif isinstance(value, torch.UntypedStorage):
            yield value
        elif isinstance(value, torch.TypedStorage):
            yield value._untyped_storage


def _storages(tensor: Tensor) -> Iterator[torch.UntypedStorage]:
    """The storages of a tensor: those of its parts, where it is sparse or wraps others; none where it hides them."""
    wrapping: Any = tensor
    if type(tensor) is not Tensor and is_traceable_wrapper_subclass(wrapping):
        for name in wrapping.__tensor_flatten__()[0]:
            yield from _storages(getattr(tensor, name))
    elif tensor.layout is torch.strided:
        try:
            yield tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # it has none, or does not show it
            return
    else:
        for name in _PARTS.get(tensor.layout, ()):
            yield from _storages(getattr(tensor, name)())


_PARTS = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


def _address(storage: torch.UntypedStorage) -> int:
    """Where a storage begins in CPU memory; 0 where it has none."""
    if storage.device.type != "cpu":
        return 0
    try:
        return storage.data_ptr()
    except RuntimeError:  # of a fake tensor
        return 0
