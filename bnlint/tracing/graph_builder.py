"""Builds a `torch.fx.Graph` out of the calls of a run: which value is which node."""

from __future__ import annotations

import collections
import dataclasses
import operator
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.multiprocessing.reductions import StorageWeakRef  # keeps an address from being used again

from bnlint.tracing.kinds import Role
from bnlint.tracing.live import positional_parameters
from bnlint.tracing.source import Frame

PLAIN = (type(None), bool, int, float, complex, str, torch.dtype, torch.device, torch.memory_format, torch.layout)


@dataclass(slots=True)
class _Reference:
    """A value of the run: a node, or a part of what a node gives, made a node of its own when it is first used."""

    tensor: weakref.ref[Tensor]
    node: fx.Node
    way: tuple[tuple[str, Any], ...] = ()


class GraphBuilder:
    """Maps the tensors of a run to nodes.

    Values are told apart by identity; a node's result keeps them alive or a weak reference notices that they are gone.

    Attributes:
        graph: The graph under construction.
        attributes: What the `get_attr` and `call_module` targets of the graph stand for.
        unexplained: Number of tensors that came from nowhere the recorder could see.
    """

    def __init__(self, keep_values: bool) -> None:
        self.graph = fx.Graph()
        self.attributes: dict[str, Any] = {}
        self.unexplained = 0
        self._keep_values = keep_values
        self._references: dict[int, _Reference] = {}
        self._aliases: dict[int, tuple[StorageWeakRef, list[fx.Node]]] = {}
        self._known_tensors: dict[int, tuple[Tensor, str, Any]] = {}

    def declare(self, tensor: Tensor, target: str, original: Any) -> None:
        """Say that a tensor of the run is an attribute of the model; it becomes a node when it is first used."""
        self._known_tensors[id(tensor)] = (tensor, target, original)

    def placeholder(self, name: str, value: Any) -> fx.Node:
        """Add an input; tensors inside a structure are reached by way of the structure."""
        node = self.graph.placeholder(name)
        self._finish(node, value, Role.INPUT)
        return node

    def call(
        self,
        op: str,
        target: Callable[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
        role: Role,
        frame: Frame | None = None,
    ) -> fx.Node:
        """Add a call and remember its results."""
        node = self.graph.create_node(
            op, target, tuple(map(self.argument, args)), {key: self.argument(value) for key, value in kwargs.items()}
        )
        node.meta["stack"] = frame
        self._finish(node, result, role)
        return node

    def output(self, result: Any) -> fx.Node:
        """Close the graph."""
        node: fx.Node = self.graph.output(self.argument(result))
        node.meta["role"] = Role.OUTPUT
        return node

    def wrote(self, node: fx.Node, tensor: Tensor) -> None:
        """Say that a call wrote into a tensor: all values that share its storage now depend on the call."""
        entry = self._aliases.get(_storage_key(tensor))
        for alias in entry[1] if entry else ():
            if alias is not node:
                alias.meta.setdefault("written_by", []).append(node)

    def node_of(self, tensor: Tensor) -> fx.Node | None:
        """The node that a tensor is the value of, `None` for a stranger."""
        reference = self._references.get(id(tensor))
        if reference is not None and reference.tensor() is tensor:
            return self._materialise(tensor, reference)
        known = self._known_tensors.get(id(tensor))
        return self._attribute(tensor, known[1], known[2], Role.CONSTANT) if known is not None else None

    def argument(self, value: Any) -> Any:
        """A value of the run as an argument of a node.

        Raises:
            TypeError: If a structure cannot stand in a graph.
        """
        if isinstance(value, Tensor):
            return self.node_of(value) or self._stranger(value)
        if isinstance(value, PLAIN) or value is Ellipsis:
            return value
        if isinstance(value, torch.Size):
            return tuple(value)
        if isinstance(value, slice):
            return slice(self.argument(value.start), self.argument(value.stop), self.argument(value.step))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
            return self.call("call_function", type(value), (), fields, value, Role.MOVE)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self.argument, value))
        if isinstance(value, (list, tuple)):
            return (list if isinstance(value, list) else tuple)(map(self.argument, value))
        if isinstance(value, Mapping):
            return self._mapping(value)
        if hasattr(value, "item") and type(value).__module__ == "numpy":
            return value.item()
        return self._object(value)

    def _mapping(self, value: Mapping[Any, Any]) -> Any:
        if type(value) is collections.OrderedDict:
            return self.call("call_function", collections.OrderedDict, (dict(value),), {}, value, Role.MOVE)
        return {key: self.argument(item) for key, item in value.items()}

    def _finish(self, node: fx.Node, result: Any, role: Role) -> None:
        node.meta["role"] = role
        node.meta["val"] = result if self._keep_values else _without_data(result)
        for way, tensor in _tensors(result):
            self._references[id(tensor)] = _Reference(weakref.ref(tensor), node, way)
            if tensor.layout is torch.strided and not tensor.is_nested:
                reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
                self._aliases.setdefault(reference.cdata, (reference, []))[1].append(node)

    def _materialise(self, tensor: Tensor, reference: _Reference) -> fx.Node:
        for kind, key in reference.way:
            getter = operator.getitem if kind == "item" else getattr
            node = self.graph.call_function(getter, (reference.node, key))
            node.meta.update(role=Role.PART, stack=reference.node.meta.get("stack"), val=None)
            reference.node = node
        if reference.way:
            reference.way = ()
            node.meta["val"] = tensor if self._keep_values else _without_data(tensor)
        return reference.node

    def _attribute(self, tensor: Tensor, target: str, original: Any, role: Role) -> fx.Node:
        self.attributes[target] = original
        node = self.graph.create_node("get_attr", target)
        self._finish(node, tensor, role)
        return node

    def _stranger(self, tensor: Tensor) -> fx.Node:
        self.unexplained += 1
        return self._attribute(tensor, f"_constant_{len(self.attributes)}", tensor, Role.UNKNOWN)

    def _object(self, value: Any) -> fx.Node:
        target = f"_object_{len(self.attributes)}"
        self.attributes[target] = value
        node = self.graph.create_node("get_attr", target)
        node.meta.update(role=Role.CONSTANT, val=None)
        return node


def argument_names(module: nn.Module, count: int) -> list[str]:
    """Names for the positional inputs of a module: those of its `forward`, as far as they go."""
    names = [parameter.name for parameter in positional_parameters(module)]
    return [names[index] if index < len(names) else f"input_{index}" for index in range(count)]


def _storage_key(tensor: Tensor) -> int:
    if tensor.layout is not torch.strided or tensor.is_nested:
        return -1
    return int(StorageWeakRef(tensor.untyped_storage()).cdata)  # type: ignore[no-untyped-call]


def _tensors(value: Any, way: tuple[tuple[str, Any], ...] = ()) -> Iterator[tuple[tuple[tuple[str, Any], ...], Tensor]]:
    if isinstance(value, Tensor):
        yield way, value
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _tensors(item, (*way, ("item", index)))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, (*way, ("item", key)))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _tensors(getattr(value, field.name), (*way, ("attribute", field.name)))


def _without_data(value: Any) -> Any:
    if isinstance(value, Tensor):
        if value.is_nested or value.is_quantized or value.layout is not torch.strided:
            return None
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")
    if isinstance(value, (list, tuple)):
        items = [_without_data(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, Mapping):
        return {key: _without_data(item) for key, item in value.items()}
    return None
