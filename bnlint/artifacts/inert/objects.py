"""All that a model in a pickle holds, as a flat table that leaves the child process: nodes that refer to each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec

from bnlint.artifacts.inert.numpy_scalars import numpy_scalar
from bnlint.artifacts.inert.tensors import SavedTensor, as_tensor
from bnlint.artifacts.inert.tree import class_of, is_module, state_of, uncompiled
from bnlint.artifacts.inert.values import Global, Stub, attributes, can_be_sent, made_by, named

_TENSOR_TYPES: Final = ("torch._tensor.Tensor", "torch.Tensor", "torch.nn.parameter.Parameter")
_SETS: Final = {
    "builtins.set": "set", "__builtin__.set": "set", "builtins.frozenset": "frozenset",
    "__builtin__.frozenset": "frozenset",
}  # fmt: skip
_DICTS: Final = {
    "collections.OrderedDict": "OrderedDict", "builtins.dict": "dict", "__builtin__.dict": "dict",
}  # fmt: skip


class Reference(msgspec.Struct, frozen=True, array_like=True, tag="reference"):
    """Stands for another node, by its place in the table."""

    index: int


Item = None | bool | int | float | str | Reference
"""What a node holds: a scalar, or a reference to another node. One object of the file is one node."""


class NameNode(msgspec.Struct, frozen=True, array_like=True, tag="name"):
    """A class or function that the file names."""

    module: str
    name: str


class RowNode(msgspec.Struct, frozen=True, array_like=True, tag="row"):
    """A list, a tuple or a set."""

    kind: Literal["list", "tuple", "set", "frozenset"]
    items: tuple[Item, ...]


class TableNode(msgspec.Struct, frozen=True, array_like=True, tag="table"):
    """A dict or an `OrderedDict`."""

    kind: Literal["dict", "OrderedDict"]
    pairs: tuple[tuple[Item, Item], ...]


class TensorNode(msgspec.Struct, frozen=True, array_like=True, tag="tensor"):
    """A tensor or a parameter."""

    tensor: SavedTensor


class CallNode(msgspec.Struct, frozen=True, array_like=True, tag="call"):
    """What the file would make by a call, such as `torch.device("cpu")` or the member of an enumeration."""

    maker: NameNode
    arguments: tuple[Item, ...]


class PartialNode(msgspec.Struct, frozen=True, array_like=True, tag="partial"):
    """A `functools.partial`; the keywords are a table."""

    function: Item
    arguments: Item
    keywords: Item


class ObjectNode(msgspec.Struct, frozen=True, array_like=True, tag="object"):
    """An object with attributes; `is_module` where it keeps the tables of an `nn.Module`."""

    maker: NameNode
    attributes: dict[str, Item]
    is_module: bool


class OpaqueNode(msgspec.Struct, frozen=True, array_like=True, tag="opaque"):
    """Anything else, in words such as "a pickled `torch.optim.sgd.SGD`"."""

    words: str


Node = NameNode | RowNode | TableNode | TensorNode | CallNode | PartialNode | ObjectNode | OpaqueNode


def objects_of(root: Any) -> tuple[Node, ...]:
    """All that a module holds, down to its tensors.

    Args:
        root: The stub of the module.

    Returns:
        The nodes, the root first. There are no more of them than the pickle has opcodes, which are limited.
    """
    table = _Table()
    table.item(root)
    nodes: list[Node] = []
    while len(nodes) < len(table.found):
        nodes.append(table.node(table.found[len(nodes)]))
    return tuple(nodes)


class _Table:
    def __init__(self) -> None:
        self.found: list[Any] = []  # keeps every object alive, so that no two have the same `id`
        self._places: dict[int, int] = {}

    def item(self, value: Any) -> Item:
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, (int, str)) and can_be_sent(value):
            return value
        number = numpy_scalar(value)
        if number is not None:
            return number
        value = uncompiled(value)
        if id(value) not in self._places:
            self._places[id(value)] = len(self.found)
            self.found.append(value)
        return Reference(self._places[id(value)])

    def node(self, value: Any) -> Node:
        if isinstance(value, Global):
            return _name(value)
        if isinstance(value, list):
            return RowNode("list", self._items(value))
        if isinstance(value, tuple):
            return RowNode("tuple", self._items(value))
        if isinstance(value, dict):
            return TableNode("dict", self._pairs(list(value.items())))
        if isinstance(value, Stub):
            return self._of_stub(value) or OpaqueNode(_words(value))
        return OpaqueNode(f"a value of type `{type(value).__name__}`")

    def _of_stub(self, stub: Stub) -> Node | None:
        tensor = as_tensor(stub) if _is_plain_tensor(stub) else None
        if tensor is not None:
            return TensorNode(tensor)
        maker = str(stub.maker) if isinstance(stub.maker, Global) else ""
        if maker in _SETS and not stub.states:
            return self._of_set(stub, _SETS[maker])
        if maker in _DICTS and not stub.states and not stub.items:
            return self._of_dict(stub, _DICTS[maker])
        if maker == "functools.partial":
            return self._of_partial(stub)
        if made_by(stub, "builtins.getattr", "__builtin__.getattr"):
            return _operator(stub)
        found = class_of(stub)
        if found is None or stub.items or stub.entries or stub.keywords:
            return None
        if is_module(stub):
            return ObjectNode(_name(found), self._attributes(state_of(stub)), True)
        if stub.states or not stub.arguments:
            return self._of_object(stub, found)
        return CallNode(_name(found), self._items(stub.arguments)) if isinstance(stub.arguments, tuple) else None

    def _of_object(self, stub: Stub, found: Global) -> Node | None:
        made_empty = not stub.arguments or named(stub.maker, "copyreg._reconstructor", "copy_reg._reconstructor")
        if not made_empty or not all(isinstance(state, dict) for state in stub.states):
            return None
        return ObjectNode(_name(found), self._attributes(attributes(stub)), False)

    def _of_set(self, stub: Stub, kind: Any) -> Node | None:
        listed = stub.arguments[0] if isinstance(stub.arguments, tuple) and len(stub.arguments) == 1 else []
        if not isinstance(listed, list) or stub.entries:
            return None
        return RowNode(kind, self._items([*listed, *stub.items]))

    def _of_dict(self, stub: Stub, kind: Any) -> Node | None:
        listed = stub.arguments[0] if isinstance(stub.arguments, tuple) and len(stub.arguments) == 1 else []
        pairs = list(listed.items()) if isinstance(listed, dict) else listed
        if not isinstance(pairs, list) or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
            return None
        return TableNode(kind, self._pairs([*pairs, *stub.entries]))

    def _of_partial(self, stub: Stub) -> Node | None:
        state = stub.states[0] if len(stub.states) == 1 else None
        if not isinstance(state, tuple) or len(state) != 4 or state[3]:
            return None
        function, arguments, keywords, _ = state
        return PartialNode(self.item(function), self.item(arguments), self.item(keywords or None))

    def _attributes(self, own: dict[str, Any]) -> dict[str, Item]:
        return {_shown(name): self.item(value) for name, value in own.items()}

    def _items(self, values: Iterable[Any]) -> tuple[Item, ...]:
        return tuple(map(self.item, values))

    def _pairs(self, pairs: Sequence[Any]) -> tuple[tuple[Item, Item], ...]:
        return tuple((self.item(key), self.item(value)) for key, value in pairs)


def _name(found: Global) -> NameNode:
    return NameNode(_shown(found.module), _shown(found.name))


def _shown(text: str) -> str:
    return text if can_be_sent(text) else ascii(text)


def _operator(stub: Stub) -> Node | None:
    """`torch.relu` and its like: protocols write them as attributes of the class that holds all operators of torch."""
    match stub.arguments:
        case (Global("torch._C", "_VariableFunctionsClass" | "_VariableFunctions"), str() as name):
            return NameNode("torch", _shown(name))
    return None


def _is_plain_tensor(stub: Stub) -> bool:
    """Whether a tensor, if the stub is one, is of no further subclass of `Tensor`."""
    if not named(stub.maker, "torch._tensor._rebuild_from_type_v2"):
        return True
    return isinstance(stub.arguments, tuple) and len(stub.arguments) == 4 and named(stub.arguments[1], *_TENSOR_TYPES)


def _words(stub: Stub) -> str:
    found = class_of(stub)
    return f"a pickled `{_shown(str(found))}`" if found is not None else "what a call in the file would return"
