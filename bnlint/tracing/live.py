"""Reads live modules past the code of their classes, any part of which may raise anything.

What `nn.Module` keeps in the dictionary of an object is read from there. The methods that list it can be replaced, and
an attribute can be a property: what cannot be read is absent.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, TypeVar

from torch import Tensor, nn

from bnlint.artifacts.names import joined
from bnlint.user_objects import attribute, guarded, is_a

T = TypeVar("T")

_PLAIN = (dict, OrderedDict)


def members(module: nn.Module, kind: str) -> dict[Any, Any]:
    """The `_modules`, `_parameters` or `_buffers` of a module, without those that are `None`.

    Args:
        module: The module, whatever its class does when it is asked.
        kind: The name of the dictionary; there may be none in a module whose class called no constructor.
    """
    own = _dictionary(module, kind)
    if type(own) in _PLAIN:  # nearly always, and often empty
        return {name: value for name, value in own.items() if value is not None} if own else {}
    return guarded(lambda: {name: value for name, value in own.items() if value is not None}, {})


def _dictionary(module: nn.Module, kind: str) -> Any:
    """What stands in the object; a traced TorchScript module has it in another, and answers for it."""
    own = object.__getattribute__(module, "__dict__").get(kind)
    return attribute(module, kind) if own is None else own


def children(module: nn.Module) -> dict[str, nn.Module]:
    """The child modules by name.

    A name that is empty, or no text, stands in brackets, as an index does; half of a pair of UTF-16 is written out.
    """
    found: dict[str, nn.Module] = {}
    for name, child in members(module, "_modules").items():
        if issubclass(type(child), nn.Module):
            found[name if type(name) is str and name and name.isascii() else _readable(name)] = child
    return found


def _readable(name: object) -> str:
    text = name if isinstance(name, str) and name else f"[{name!r}]"
    return text.encode("utf-8", "backslashreplace").decode()


def named_modules(model: nn.Module, path: str = "", *, once: bool = True) -> Iterator[tuple[str, nn.Module]]:
    """All modules by path, a parent before its children, as `nn.Module.named_modules` lists them.

    Args:
        model: The root of a tree that ends.
        path: The path of the root.
        once: Whether a module that is in several places is listed at the first alone.
    """
    seen: set[int] = set()
    pending = [(path, model)]
    while pending:
        path, module = pending.pop()
        if once and id(module) in seen:
            continue
        seen.add(id(module))
        yield path, module
        if below := children(module):
            pending += [(joined(path, name), child) for name, child in reversed(below.items())]


def submodule(model: nn.Module, path: str) -> nn.Module:
    """The module at a path as `named_modules` gives it.

    Raises:
        KeyError: If there is none.
    """
    module = model
    for name in path.split(".") if path else ():
        found = guarded(lambda: _dictionary(module, "_modules").get(name), None)  # noqa: B023 (asked at once)
        if not is_a(found, nn.Module):  # a name may hold a point, or be written in another way
            return dict(named_modules(model, once=False))[path]
        module = found
    return module


def positional_parameters(model: nn.Module) -> list[inspect.Parameter]:
    """The parameters of a model's `forward` that can be given without a name; none where it has no signature."""
    nothing: list[inspect.Parameter] = []
    found = guarded(lambda: [*inspect.signature(model.forward).parameters.values()], nothing)
    return [one for one in found if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]


def parameters(model: nn.Module, *, recurse: bool = True) -> list[nn.Parameter]:
    """The parameters of a model, or of a module alone, each once."""
    return [tensor for tensor in _tensors(model, "_parameters", recurse) if isinstance(tensor, nn.Parameter)]


def tensors(model: nn.Module, *, recurse: bool = True) -> list[Tensor]:
    """The parameters, then the buffers, each once."""
    return [*_tensors(model, "_parameters", recurse), *_tensors(model, "_buffers", recurse)]


def _tensors(model: nn.Module, kind: str, recurse: bool) -> list[Tensor]:
    modules = (module for _, module in named_modules(model)) if recurse else (model,)
    values = (value for module in modules for value in members(module, kind).values())
    return list({id(value): value for value in values if issubclass(type(value), Tensor)}.values())
