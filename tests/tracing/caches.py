"""Models that keep a tensor of their last forward wherever Python lets them: position grids, masks, tables."""

# ruff: noqa: PLW0603, B019, B006, RUF012

from __future__ import annotations

import argparse
import collections
import contextvars
import functools
import queue
import threading
import types
import weakref
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor, nn

Built = tuple[nn.Module, Callable[[], Any]]
"""A model, and what looks at the content of its cache."""

CACHES: dict[str, Callable[[], Built]] = {}


def cache(build: Callable[[], Built]) -> Callable[[], Built]:
    """Register a cache under the name of its function."""
    CACHES[build.__name__] = build
    return build


class Positions(nn.Module):
    """Adds a grid that is made once for each shape.

    Args:
        kept: Anything.
        get: Gives the grid that is kept, or `None`.
        put: Keeps a grid.
    """

    def __init__(self, kept: Any, get: Callable[[Any], Any], put: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.kept = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), kept
        self.__dict__.update(get=get, put=put)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        if self.get(self.kept) is None:
            self.put(self.kept, x.new_ones(x.shape[1:]))
        return x + self.get(self.kept)


class WithGrid(nn.Module):
    """Adds what a subclass keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return x + self.grid(x)

    def grid(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def in_mapping(make: Callable[[], MutableMapping[str, Any]]) -> Callable[[], Built]:
    def build() -> Built:
        kept = make()
        model = Positions(kept, lambda kept: kept.get("grid"), lambda kept, grid: kept.update(grid=grid))
        return model, lambda: dict(kept)

    return build


def in_attribute(make: Callable[[], Any]) -> Callable[[], Built]:
    def build() -> Built:
        kept = make()
        model = Positions(
            kept, lambda kept: getattr(kept, "grid", None), lambda kept, grid: setattr(kept, "grid", grid)
        )
        return model, lambda: getattr(kept, "grid", None)

    return build


def in_list(make: Callable[[], Any]) -> Callable[[], Built]:
    def build() -> Built:
        kept = make()
        model = Positions(kept, lambda kept: next(iter(kept), None), lambda kept, grid: kept.append(grid))
        return model, lambda: list(kept)

    return build


@dataclass(slots=True)
class Slotted:
    grid: Any = None


class Plain:
    grid: Any = None


class Refuses:
    """Cannot be copied."""

    grid: Any = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("not to be copied")


class RefusingSlots:
    __slots__ = ("grid",)

    def __init__(self) -> None:
        self.grid: Any = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("not to be copied")


class RefusingTable(dict):
    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("not to be copied")


CACHES |= {
    "dict": in_mapping(dict),
    "ordered_dict": in_mapping(collections.OrderedDict),
    "default_dict": in_mapping(lambda: collections.defaultdict(list)),
    "user_dict": in_mapping(collections.UserDict),
    "chain_map": in_mapping(collections.ChainMap),
    "refusing_dict": in_mapping(RefusingTable),
    "namespace": in_attribute(types.SimpleNamespace),
    "argparse_namespace": in_attribute(argparse.Namespace),
    "slots": in_attribute(Slotted),
    "plain_object": in_attribute(Plain),
    "refusing_object": in_attribute(Refuses),
    "refusing_slots": in_attribute(RefusingSlots),
    "thread_local": in_attribute(threading.local),
    "lock_beside_it": in_attribute(lambda: types.SimpleNamespace(lock=threading.Lock(), grid=None)),
    "list": in_list(list),
    "deque": in_list(collections.deque),
    "user_list": in_list(collections.UserList),
}


@cache
def object_array() -> Built:
    kept = numpy.empty(1, dtype=object)
    model = Positions(kept, lambda kept: kept[0], lambda kept, grid: kept.__setitem__(0, grid))
    return model, lambda: kept[0]


@cache
def in_a_queue() -> Built:
    kept: queue.Queue[Tensor] = queue.Queue()
    model = Positions(kept, lambda kept: next(iter(kept.queue), None), lambda kept, grid: kept.put(grid))
    return model, lambda: list(kept.queue)


@cache
def context_variable() -> Built:
    kept: contextvars.ContextVar[Any] = contextvars.ContextVar("kept", default=None)
    return Positions(kept, lambda kept: kept.get(), lambda kept, grid: kept.set(grid)), kept.get


@cache
def weak_keys() -> Built:
    kept: Any = weakref.WeakKeyDictionary()
    owner = Plain()
    model = Positions(
        (kept, owner), lambda kept: kept[0].get(kept[1]), lambda kept, grid: kept[0].update({kept[1]: grid})
    )
    return model, lambda: dict(kept)


@cache
def closure() -> Built:
    kept: list[Tensor] = []

    class Model(WithGrid):
        def grid(self, x: Tensor) -> Tensor:
            if not kept:
                kept.append(x.new_ones(x.shape[1:]))
            return kept[0]

    return Model(), lambda: list(kept)


@cache
def variable_of_a_closure() -> Built:
    kept: Any = None

    class Model(WithGrid):
        def grid(self, x: Tensor) -> Tensor:
            nonlocal kept
            kept = x.new_ones(x.shape[1:]) if kept is None else kept
            return kept

    return Model(), lambda: kept


TABLE: dict[Any, Tensor] = {}
NESTED: dict[str, dict[Any, Tensor]] = {"grids": {}}
GRID: Any = None
ELSEWHERE = types.ModuleType("elsewhere")
ELSEWHERE.KEPT = {}


class Global(WithGrid):
    def grid(self, x: Tensor) -> Tensor:
        if x.shape not in TABLE:
            TABLE[x.shape] = x.new_ones(x.shape[1:])
        return TABLE[x.shape]


CACHES["global_dict"] = lambda: (Global(), lambda: dict(TABLE))


class NestedGlobal(WithGrid):
    def grid(self, x: Tensor) -> Tensor:
        return NESTED["grids"].setdefault(x.shape, x.new_ones(x.shape[1:]))


CACHES["nested_global"] = lambda: (NestedGlobal(), lambda: dict(NESTED["grids"]))


class ReboundGlobal(WithGrid):
    def grid(self, x: Tensor) -> Tensor:
        global GRID
        GRID = x.new_ones(x.shape[1:]) if GRID is None else GRID
        return GRID


CACHES["rebound_global"] = lambda: (ReboundGlobal(), lambda: GRID)


class OfAnotherModule(WithGrid):
    def grid(self, x: Tensor) -> Tensor:
        return ELSEWHERE.KEPT.setdefault(x.shape, x.new_ones(x.shape[1:]))


CACHES["another_module"] = lambda: (OfAnotherModule(), lambda: dict(ELSEWHERE.KEPT))


def helper(x: Tensor) -> Tensor:
    """Keeps what it makes, for whoever calls it."""
    return TABLE.setdefault(x.shape, x.new_ones(x.shape[1:]))


class ByHelper(WithGrid):
    def grid(self, x: Tensor) -> Tensor:
        return helper(x)


CACHES["helper"] = lambda: (ByHelper(), lambda: dict(TABLE))


@functools.lru_cache(maxsize=8)
def limited(channels: int, side: int, like: torch.dtype, *, device: Any) -> Tensor:
    """A grid for a size."""
    return torch.ones(channels, side, side, dtype=like, device=device)


@functools.cache
def unlimited(channels: int, side: int) -> Tensor:
    """A grid for a size."""
    return torch.ones(channels, side, side)


class Cached(WithGrid):
    def grid(self, x: Tensor) -> Tensor:
        return limited(x.shape[1], x.shape[2], x.dtype, device=x.device) * unlimited(x.shape[1], x.shape[2])


CACHES["lru_cache"] = lambda: (Cached(), lambda: (limited.cache_info(), unlimited.cache_info()))


@cache
def cached_method() -> Built:
    class Model(WithGrid):
        @functools.lru_cache
        def made(self, channels: int, side: int) -> Tensor:
            return torch.ones(channels, side, side)

        @staticmethod
        @functools.cache
        def static(channels: int) -> Tensor:
            return torch.ones(channels, 1, 1)

        def grid(self, x: Tensor) -> Tensor:
            return self.made(x.shape[1], x.shape[2]) * self.static(x.shape[1])

    return Model(), lambda: (Model.made.cache_info(), Model.static.cache_info())


@cache
def cached_attribute() -> Built:
    made = functools.lru_cache(lambda channels, side: torch.ones(channels, side, side))
    model = Positions(made, lambda made: made(4, 1), lambda made, grid: None)
    return model, made.cache_info


@cache
def class_attribute() -> Built:
    class Model(WithGrid):
        kept: dict[Any, Tensor] = {}

        def grid(self, x: Tensor) -> Tensor:
            return self.kept.setdefault(x.shape, x.new_ones(x.shape[1:]))

    return Model(), lambda: dict(Model.kept)


@cache
def rebound_class_attribute() -> Built:
    class Model(WithGrid):
        kept: Any = None

        def grid(self, x: Tensor) -> Tensor:
            if Model.kept is None:
                Model.kept = x.new_ones(x.shape[1:])
            return Model.kept

    return Model(), lambda: Model.kept


@cache
def new_class_attribute() -> Built:
    class Model(WithGrid):
        def grid(self, x: Tensor) -> Tensor:
            if not hasattr(Model, "kept"):
                Model.kept = x.new_ones(x.shape[1:])
            return Model.kept

    return Model(), lambda: getattr(Model, "kept", None)


@cache
def default_argument() -> Built:
    class Model(WithGrid):
        def grid(self, x: Tensor, kept: dict[Any, Tensor] = {}) -> Tensor:
            return kept.setdefault(x.shape, x.new_ones(x.shape[1:]))

    return Model(), lambda: dict(Model.grid.__defaults__[0])


@cache
def attribute_of_a_function() -> Built:
    class Model(WithGrid):
        def grid(self, x: Tensor) -> Tensor:
            kept = Model.grid.__dict__
            return kept.setdefault("kept", x.new_ones(x.shape[1:]))

    return Model(), lambda: dict(vars(Model.grid))


@cache
def class_of_a_helper() -> Built:
    class Store:
        kept: dict[Any, Tensor] = {}

    class Model(WithGrid):
        def grid(self, x: Tensor) -> Tensor:
            return Store.kept.setdefault(x.shape, x.new_ones(x.shape[1:]))

    return Model(), lambda: dict(Store.kept)


@cache
def descriptor() -> Built:
    class Stored:
        def __init__(self) -> None:
            self.kept: Any = weakref.WeakKeyDictionary()

        def __get__(self, owner: Any, kind: Any) -> Any:
            return self.kept.setdefault(owner, {}) if owner is not None else self

    class Model(WithGrid):
        grids = Stored()

        def grid(self, x: Tensor) -> Tensor:
            return self.grids.setdefault(x.shape, x.new_ones(x.shape[1:]))

    model = Model()
    return model, lambda: {key: dict(value) for key, value in vars(Model)["grids"].kept.items()}


@cache
def buffer_of_a_shared_module() -> Built:
    kept, layer = Refuses(), nn.Identity()
    kept.layer = layer

    def put(kept: Any, grid: Tensor) -> None:
        kept.layer.register_buffer("grid", grid)

    model = Positions(kept, lambda kept: getattr(kept.layer, "grid", None), put)
    return model, lambda: dict(layer._buffers)
