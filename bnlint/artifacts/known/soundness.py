"""What a module from a file must keep to be one that torch itself could have made."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from bnlint.artifacts.known.names import NotKnownCodeError


def check_state(kind: type[nn.Module], state: Mapping[str, Any]) -> None:
    """Check the attributes of one module.

    Args:
        kind: Its class.
        state: Its attributes by name, as they will be set.

    Raises:
        NotKnownCodeError: It has hooks, replaces its own methods, or a table holds what does not belong there.
    """
    if "training" not in state:
        raise NotKnownCodeError(f"a `{kind.__name__}`", "which has no `training`")
    for name, usual in vars(nn.Module()).items():
        given = state.get(name, usual)
        expected = next((table for table in (dict, set, bool) if isinstance(usual, table)), object)
        if not isinstance(given, expected):
            raise NotKnownCodeError(f"a `{kind.__name__}`", f"whose `{name}` is a `{type(given).__name__}`")
        if "_hooks" in name and given:
            raise NotKnownCodeError(f"a hook (`{name}` of a `{kind.__name__}`)")
    for table, belongs in (("_parameters", nn.Parameter), ("_buffers", Tensor), ("_modules", nn.Module)):
        for name, value in state.get(table, {}).items():
            if not isinstance(name, str) or "." in name or not isinstance(value, (belongs, type(None))):
                raise NotKnownCodeError(f"a `{type(value).__name__}` among the `{table}` of a `{kind.__name__}`")
    for name, value in state.items():
        # `_compiled_call_impl` is None in the class, and called before `forward` where it is anything else.
        if callable(value) and (hasattr(nn.Module, name) or callable(inspect.getattr_static(kind, name, None))):
            raise NotKnownCodeError(f"a function in place of the method `{name}` of a `{kind.__name__}`")


def check_nesting(model: nn.Module, deepest: int) -> None:
    """Check that the module tree ends: no module contains itself, or nests without measure.

    Args:
        model: The root.
        deepest: The most levels.

    Raises:
        NotKnownCodeError: One does.
    """
    done: set[int] = set()
    path = [(model, iter(model._modules.values()))]
    on_path = {id(model)}
    while path:
        module, children = path[-1]
        child = next((child for child in children if child is not None and id(child) not in done), None)
        if child is None:
            done.add(id(module))
            on_path.discard(id(module))
            path.pop()
            continue
        if id(child) in on_path or len(path) >= deepest:
            raise NotKnownCodeError("a module", "which contains itself or nests too deep")
        on_path.add(id(child))
        path.append((child, iter(child._modules.values())))
