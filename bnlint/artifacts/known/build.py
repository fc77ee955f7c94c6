"""Makes a live model of the objects in a file: its classes are looked up, its attributes set, nothing is called."""

from __future__ import annotations

import enum
import functools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from bnlint.artifacts.inert.objects import (
    CallNode,
    Item,
    NameNode,
    Node,
    ObjectNode,
    OpaqueNode,
    PartialNode,
    Reference,
    RowNode,
    TableNode,
    TensorNode,
)
from bnlint.artifacts.known.names import KnownNames, NotKnownCodeError
from bnlint.artifacts.known.soundness import check_configuration, check_state
from bnlint.artifacts.module_tree import EndlessTreeError, require_finite
from bnlint.artifacts.user_code import described, user_code

DEEPEST: Final = 100
"""How deep objects may nest: modules in modules, lists in lists. Every level takes a few frames of Python's stack."""

_TABLES: Final = ("_modules", "_parameters", "_buffers")
_ROWS: Final[dict[str, Callable[[list[Any]], Any]]] = {"tuple": tuple, "set": set, "frozenset": frozenset}


class NotBuiltError(Exception):
    """A model that cannot be made live; the text says where it holds what, and why that stands in the way."""


def build(nodes: Sequence[Node], names: KnownNames, tensor: Callable[[Any], Tensor]) -> nn.Module:
    """Make the model.

    Args:
        nodes: What the file holds, the module at the root first.
        names: Finds the classes and functions that are known code.
        tensor: Makes a tensor of its description.

    Returns:
        The model, with the attributes, training flags and tensors of the file.

    Raises:
        NotBuiltError: The file holds something that is not known code; the text says what, and where.
    """
    builder = _Builder(nodes, names, tensor)
    try:
        model = builder.value(Reference(0))
        if not isinstance(model, nn.Module):
            raise NotKnownCodeError("no module")
        require_finite(model, DEEPEST)
    except NotKnownCodeError as error:
        raise NotBuiltError(f"{builder.where} holds {error}") from error
    except EndlessTreeError as error:
        raise NotBuiltError(f"{builder.where} holds a module, {error}") from error
    return model


class _Builder:
    def __init__(self, nodes: Sequence[Node], names: KnownNames, tensor: Callable[[Any], Tensor]) -> None:
        self._nodes = nodes
        self._names = names
        self._tensor = tensor
        self._made: dict[int, Any] = {}
        self._open: set[int] = set()
        self._trail: list[str] = []  # stays as it is where an error ends the work

    @property
    def where(self) -> str:
        """The place in the model that is being made."""
        trail = ".".join(name for name in self._trail if name not in _TABLES)
        return f"`{trail}`" if trail else "the model"

    def value(self, item: Item) -> Any:
        if not isinstance(item, Reference):
            return item
        index = item.index
        if index in self._made:
            return self._made[index]
        if index in self._open:
            raise NotKnownCodeError("a value that contains itself", "which is no model")
        if len(self._open) >= DEEPEST:
            raise NotKnownCodeError("objects that nest deeper", "than any model")
        self._open.add(index)
        made = self._node(index, self._nodes[index])
        self._open.discard(index)
        self._made[index] = made
        return made

    def _node(self, index: int, node: Node) -> Any:
        match node:
            case NameNode():
                return self._names.value(node.module, node.name)
            case TensorNode():
                return self._tensor(node.tensor)
            case RowNode():
                return self._row(index, node)
            case TableNode():
                return self._table(index, node)
            case ObjectNode():
                return self._module(index, node) if node.is_module else self._object(index, node)
            case PartialNode():
                return self._partial(node)
            case CallNode():
                return self._call(node)
            case OpaqueNode():
                raise NotKnownCodeError(node.words)

    def _row(self, index: int, node: RowNode) -> Any:
        if node.kind != "list":
            items = [self.value(item) for item in node.items]
            return _hashable(lambda: _ROWS[node.kind](items))
        made: list[Any] = []
        self._made[index] = made  # before its items, which may refer back to it
        made.extend(self.value(item) for item in node.items)
        return made

    def _table(self, index: int, node: TableNode) -> dict[Any, Any]:
        made: dict[Any, Any] = OrderedDict() if node.kind == "OrderedDict" else {}
        self._made[index] = made
        for key, item in node.pairs:
            found = self.value(key)
            value = self._named(str(key) if isinstance(key, (str, int)) else "", item)
            _hashable(functools.partial(made.__setitem__, found, value))
        return made

    def _named(self, name: str, item: Item) -> Any:
        self._trail.append(name)
        made = self.value(item)
        self._trail.pop()
        return made

    def _module(self, index: int, node: ObjectNode) -> nn.Module:
        kind = self._names.module_class(node.maker.module, node.maker.name)
        made: nn.Module = _empty(kind, node.maker)
        self._made[index] = made
        state = {name: self._named(name, item) for name, item in node.attributes.items()}
        check_state(kind, state)
        try:
            with user_code():
                kind.__setstate__(made, state)  # type: ignore[no-untyped-call]
        except (Exception, SystemExit) as error:
            why = f"whose attributes do not fit its class ({described(error)})"
            raise NotKnownCodeError(f"a `{kind.__name__}`", why) from error
        check_configuration(made)
        return made

    def _object(self, index: int, node: ObjectNode) -> Any:
        """An object such as a dataclass: it gets its attributes, and none of its methods is called."""
        made = _empty(self._names.plain_class(node.maker.module, node.maker.name), node.maker)
        self._made[index] = made
        try:
            own = object.__getattribute__(made, "__dict__")
        except Exception as error:  # there is none, or a property of that name may raise anything
            raise NotKnownCodeError(f"a pickled `{node.maker.module}.{node.maker.name}`") from error
        own.update({name: self._named(name, item) for name, item in node.attributes.items()})
        return made

    def _partial(self, node: PartialNode) -> Any:
        """A partial call of a function of torch or a class of modules.

        A function of an admitted package is none: the file would choose what it is called with.
        """
        named = self._nodes[node.function.index] if isinstance(node.function, Reference) else None
        arguments, keywords = self.value(node.arguments), self.value(node.keywords)
        sound = isinstance(arguments, tuple) and isinstance(keywords, (dict, type(None)))
        if not sound or not isinstance(named, NameNode) or not all(isinstance(key, str) for key in keywords or ()):
            raise NotKnownCodeError("a partial call")
        function = self.value(node.function)
        if not isinstance(function, type):
            function = self._names.function(named.module, named.name)
        return functools.partial(function, *arguments, **(keywords or {}))

    def _call(self, node: CallNode) -> Any:
        arguments = [self.value(item) for item in node.arguments]
        try:
            match (node.maker.module, node.maker.name):
                case ("torch", "Size"):
                    return torch.Size(*arguments)
                case ("torch", "device"):
                    return torch.device(*arguments)
                case ("builtins" | "__builtin__", "slice"):
                    return slice(*arguments)
                case (module, name):
                    return self._member(module, name, arguments)
        except NotKnownCodeError:
            raise
        except Exception as error:
            raise NotKnownCodeError(f"a `{node.maker.name}`", "which has no such value") from error

    def _member(self, module: str, name: str, arguments: list[Any]) -> enum.Enum:
        if len(arguments) != 1:
            raise NotKnownCodeError(f"what a call of `{module}.{name}` would return")
        return self._names.enumeration(module, name)(arguments[0])


def _hashable(make: Callable[[], Any]) -> Any:
    """Do what takes hashes of values from the file, which run code of admitted packages."""
    try:
        return make()
    except Exception as error:
        raise NotKnownCodeError("a key", "which cannot be one") from error


def _empty(kind: type[Any], maker: NameNode) -> Any:
    """An object of a class, of which neither `__new__` nor `__init__` has run."""
    try:
        return object.__new__(kind)
    except TypeError as error:
        raise NotKnownCodeError(f"a pickled `{maker.module}.{maker.name}`") from error
