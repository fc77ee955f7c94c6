"""Models whose code has a way to a network beside the module tree, by everything that can hold one."""

# ruff: noqa: PLW0108, PLC3002, PLW0603, B019, RUF012, PLE0237, E501

from __future__ import annotations

import argparse
import collections
import contextvars
import copy
import functools
import itertools
import queue
import threading
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from torch import Tensor, nn

Way = Callable[[nn.Module], nn.Module]
"""Builds a model whose forward calls the network that it is given."""

WAYS: dict[str, Way] = {}


def way(build: Way) -> Way:
    """Register a way under the name of its function."""
    WAYS[build.__name__] = build
    return build


def network() -> nn.Module:
    """A convolution and a BatchNorm in training mode, whose statistics any call would move."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


class Caller(nn.Module):
    """Calls what a function makes of what it holds.

    Args:
        held: Anything.
        ask: Gives what to call.
    """

    def __init__(self, held: Any, ask: Callable[[Any], Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.parts = held
        self.__dict__["ask"] = ask

    def forward(self, x: Tensor) -> Tensor:
        return self.ask(self.parts)(x)


def held(wrap: Callable[[nn.Module], Any], ask: Callable[[Any], Any]) -> Way:
    """A way by an attribute."""
    return lambda net: Caller(wrap(net), ask)


@dataclass(slots=True)
class Slotted:
    net: Any
    other: int = 0


@dataclass(slots=True)
class SlottedChild(Slotted):
    more: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Frozen:
    net: Any


class PlainSlots:
    __slots__ = ("_PlainSlots__net", "__weakref__")

    def __init__(self, net: Any) -> None:
        self.__net = net

    @property
    def net(self) -> Any:
        return self.__net


class Refuses:
    """Cannot be copied."""

    def __init__(self, net: Any) -> None:
        self.net, self.lock = net, threading.Lock()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("not to be copied")


class CopiesItself:
    def __init__(self, net: Any) -> None:
        self.net = net

    def __deepcopy__(self, memo: dict[int, Any]) -> CopiesItself:
        return CopiesItself(copy.deepcopy(self.net, memo))


class Table(dict):
    pass


class Row(list):
    net: Any = None


Pair = collections.namedtuple("Pair", ["net", "number"])


def object_array(net: nn.Module) -> numpy.ndarray:
    array = numpy.empty((2, 1), dtype=object)
    array[1, 0] = net
    return array


def in_queue(net: nn.Module) -> queue.Queue[nn.Module]:
    waiting: queue.Queue[nn.Module] = queue.Queue()
    waiting.put(net)
    return waiting


def in_thread(net: nn.Module) -> threading.local:
    local = threading.local()
    local.net = net
    return local


def in_generator(net: nn.Module) -> Any:
    def generate() -> Any:
        while True:
            yield net

    return generate()


def in_context(net: nn.Module) -> contextvars.ContextVar[nn.Module]:
    variable: contextvars.ContextVar[nn.Module] = contextvars.ContextVar("net")
    variable.set(net)
    return variable


def with_row_attribute(net: nn.Module) -> Row:
    row = Row()
    row.net = net
    return row


def _itself(value: Any) -> Any:
    return value


def _net(value: Any) -> Any:
    return value.net


def _first(value: Any) -> Any:
    return next(iter(value))


HOLDERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "list": (lambda net: [net], _first),
    "tuple": (lambda net: (net,), _first),
    "named_tuple": (lambda net: Pair(net, 1), _net),
    "set": (lambda net: {net}, _first),
    "frozenset": (lambda net: frozenset([net]), _first),
    "deque": (lambda net: collections.deque([net], maxlen=3), _first),
    "dict": (lambda net: {"a": net}, lambda held: held["a"]),
    "dict_of_dicts": (lambda net: {"a": {"b": [net]}}, lambda held: held["a"]["b"][0]),
    "key": (lambda net: {net: 1}, _first),
    "key_in_tuple": (lambda net: {(1, net): 1}, lambda held: next(iter(held))[1]),
    "ordered_dict": (lambda net: collections.OrderedDict(a=net), lambda held: held["a"]),
    "default_dict": (lambda net: collections.defaultdict(list, a=net), lambda held: held["a"]),
    "default_factory": (lambda net: collections.defaultdict(lambda: net), lambda held: held["a"]),
    "dict_subclass": (lambda net: Table(a=net), lambda held: held["a"]),
    "list_subclass": (lambda net: Row([net]), _first),
    "attribute_of_a_list": (with_row_attribute, _net),
    "chain_map": (lambda net: collections.ChainMap({}, {"a": net}), lambda held: held["a"]),
    "user_dict": (lambda net: collections.UserDict(a=net), lambda held: held["a"]),
    "user_list": (lambda net: collections.UserList([net]), _first),
    "mapping_proxy": (lambda net: types.MappingProxyType({"a": net}), lambda held: held["a"]),
    "namespace": (lambda net: types.SimpleNamespace(net=net), _net),
    "argparse_namespace": (lambda net: argparse.Namespace(net=net), _net),
    "namespace_in_namespace": (lambda net: types.SimpleNamespace(a=argparse.Namespace(net=net)), lambda held: held.a.net),
    "slotted_dataclass": (lambda net: Slotted(net), _net),
    "inherited_slots": (lambda net: SlottedChild(net), _net),
    "frozen_slots": (lambda net: Frozen(net), _net),
    "plain_slots": (PlainSlots, _net),
    "copies_itself": (CopiesItself, _net),
    "refuses_to_be_copied": (Refuses, _net),
    "object_array": (object_array, lambda held: held[1, 0]),
    "weak_reference": (weakref.ref, lambda held: held()),
    "weak_proxy": (lambda net: [weakref.proxy(net)], lambda held: held[0]),
    "weak_method": (lambda net: weakref.WeakMethod(net.forward), lambda held: held()),
    "weak_values": (lambda net: weakref.WeakValueDictionary(a=net), lambda held: held["a"]),
    "weak_keys": (lambda net: weakref.WeakKeyDictionary({net: 1}), _first),
    "weak_set": (lambda net: weakref.WeakSet([net]), _first),
    "values_view": (lambda net: {"a": net}.values(), _first),
    "items_view": (lambda net: {"a": net}.items(), lambda held: next(iter(held))[1]),
    "keys_view": (lambda net: {net: 1}.keys(), _first),
    "list_iterator": (lambda net: iter([net] * 99), next),
    "cycle": (lambda net: itertools.cycle([net]), next),
    "queue": (in_queue, lambda held: held.queue[0]),
    "thread_local": (in_thread, _net),
    "generator": (in_generator, next),
    "context_variable": (in_context, lambda held: held.get()),
    "bound_method": (lambda net: net.forward, _itself),
    "call_wrapper": (lambda net: net.__call__, _itself),
    "partial": (lambda net: functools.partial(net), _itself),
    "partial_argument": (lambda net: functools.partial(lambda net, x: net(x), net), _itself),
    "closure": (lambda net: lambda x: net(x), _itself),
    "closure_of_closure": (lambda net: (lambda inner: lambda x: inner(x))(lambda x: net(x)), _itself),
    "closure_over_a_list": (lambda net: (lambda nets: lambda x: nets[0](x))([net]), _itself),
    "default": (lambda net: lambda x, net=net: net(x), _itself),
    "keyword_default": (lambda net: lambda x, *, net=net: net(x), _itself),
    "no_grad": (lambda net: torch.no_grad()(net.forward), _itself),
    "autocast_around_no_grad": (lambda net: torch.no_grad()(torch.autocast("cpu", enabled=False)(net.forward)), _itself),
    "wraps": (lambda net: functools.wraps(net.forward)(lambda *args: net(*args)), _itself),
    "lru_cache": (lambda net: functools.lru_cache(lambda: net), lambda held: held()),
    "lru_cache_of_a_call": (lambda net: functools.lru_cache(maxsize=2)(lambda x: net(x)), _itself),
    "singledispatch": (lambda net: functools.singledispatch(lambda x: net(x)), _itself),
    "compiled": (lambda net: torch.compile(net, backend="eager"), _itself),
    "compiled_in_a_list": (lambda net: [torch.compile(net, backend="eager")], _first),
    "compiled_method": (lambda net: torch.compile(net.forward, backend="eager"), _itself),
    "compiled_closure": (lambda net: torch.compile(lambda x: net(x), backend="eager"), _itself),
    "not_to_be_compiled": (lambda net: torch.compiler.disable(net.forward), _itself),
}  # fmt: skip
WAYS |= {name: held(*pair) for name, pair in HOLDERS.items()}


@way
def compiled_whole(net: nn.Module) -> nn.Module:
    return torch.compile(net, backend="eager")


@way
def compiled_in_place(net: nn.Module) -> nn.Module:
    net.compile(backend="eager")
    return net


@way
def compiled_forward(net: nn.Module) -> nn.Module:
    net.forward = torch.compile(net.forward, backend="eager")
    return net


@way
def compiled_twice(net: nn.Module) -> nn.Module:
    return torch.compile(nn.Sequential(torch.compile(net, backend="eager"), nn.ReLU()), backend="eager")


@way
def data_parallel_of_compiled(net: nn.Module) -> nn.Module:
    return nn.DataParallel(torch.compile(net, backend="eager"))


@way
def forward_in_decorators(net: nn.Module) -> nn.Module:
    net.forward = torch.no_grad()(torch.autocast("cpu", enabled=False)(net.forward))
    return net


@way
def forward_in_a_lambda(net: nn.Module) -> nn.Module:
    net.forward = lambda x, f=net.forward: f(x)
    return net


GLOBAL: Any = None


@way
def module_level_global(net: nn.Module) -> nn.Module:
    global GLOBAL
    GLOBAL = net

    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return GLOBAL(x)

    return Model()


def _helper(x: Tensor) -> Tensor:
    return GLOBAL(x)


@way
def global_of_a_helper(net: nn.Module) -> nn.Module:
    global GLOBAL
    GLOBAL = net

    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return _helper(x)

    return Model()


@way
def variable_around_the_class(net: nn.Module) -> nn.Module:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return net(x)

    return Model()


@way
def class_attribute(net: nn.Module) -> nn.Module:
    class Model(nn.Module):
        shared = net

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(x)

    return Model()


@way
def class_attribute_of_the_class(net: nn.Module) -> nn.Module:
    class Model(nn.Module):
        shared = [net]

        def forward(self, x: Tensor) -> Tensor:
            return Model.shared[0](x)

    return Model()


@way
def default_of_forward(net: nn.Module) -> nn.Module:
    class Model(nn.Module):
        def forward(self, x: Tensor, net: nn.Module = net) -> Tensor:
            return net(x)

    return Model()


@way
def attribute_of_forward(net: nn.Module) -> nn.Module:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Model.forward.net(x)

    Model.forward.net = net
    return Model()


@way
def property_of_the_class(net: nn.Module) -> nn.Module:
    class Model(nn.Module):
        @property
        def net(self) -> nn.Module:
            return net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    return Model()


@way
def cached_property(net: nn.Module) -> nn.Module:
    class Model(nn.Module):
        @functools.cached_property
        def net(self) -> Any:
            return types.SimpleNamespace(net=net)

        def forward(self, x: Tensor) -> Tensor:
            return self.net.net(x)

    model = Model()
    model.net  # noqa: B018
    return model


@way
def cached_method(net: nn.Module) -> nn.Module:
    class Model(nn.Module):
        @functools.lru_cache
        def net(self) -> Any:
            return net

        def forward(self, x: Tensor) -> Tensor:
            return self.net()(x)

    model = Model()
    model.net()
    return model


@way
def partial_method(net: nn.Module) -> nn.Module:
    class Model(nn.Module):
        def call(self, net: nn.Module, x: Tensor) -> Tensor:
            return net(x)

        forward = functools.partialmethod(call, net)

    return Model()


@way
def strategy_class(net: nn.Module) -> nn.Module:
    class Strategy:
        shared = net

        def run(self, x: Tensor) -> Tensor:
            return self.shared(x)

    return Caller(Strategy(), lambda held: held.run)


def hooked(register: Callable[[nn.Module, nn.Module], Any]) -> Way:
    def build(net: nn.Module) -> nn.Module:
        model = nn.Sequential(nn.Identity())  # a leaf would be looked at from outside
        register(model, net)
        return model

    return build


WAYS |= {
    "forward_hook": hooked(lambda module, net: module.register_forward_hook(lambda _, __, output: net(output))),
    "forward_pre_hook": hooked(lambda module, net: module.register_forward_pre_hook(lambda _, args: net(*args))),
    "hook_with_keywords": hooked(
        lambda module, net: module.register_forward_hook(lambda _, __, ___, output: net(output), with_kwargs=True)
    ),
    "hook_with_default": hooked(
        lambda module, net: module.register_forward_hook(lambda _, __, output, net=net: net(output))
    ),
    "hook_of_partial": hooked(
        lambda module, net: module.register_forward_hook(functools.partial(lambda net, _, __, output: net(output), net))
    ),
}
