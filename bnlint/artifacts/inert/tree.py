"""The module tree of a pickled model, from stubs: paths, classes, attributes, tensors and hooks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import msgspec

from bnlint.artifacts.inert.tensors import SavedTensor, as_tensor
from bnlint.artifacts.inert.values import Global, Stub, attributes, can_be_sent, extent, is_scalar, mapping, named
from bnlint.artifacts.names import joined
from bnlint.artifacts.wrappers import WRAPPERS

Scalar = bool | int | float | str | None
Plain = Scalar | tuple[Scalar, ...]
"""An attribute that is kept: a number, a text, a flag, or a row of them; classes are kept by their dotted name."""

MOST_MODULES: Final = 1_000_000
"""Modules of one model; the largest published ones have some ten thousand."""

MOST_VALUES: Final = 1 << 22
"""What the modules of one model keep, item by item: a few dozen each. A file can give one dict to thousands of them."""

MOST_LETTERS: Final = 1 << 27
"""Characters of the paths of the modules of one model: one that is nested a hundred thousand deep has gigabytes."""

LONGEST_ROW: Final = 64
"""Items of a list or tuple that is kept."""

_COMPILED: Final = Global("torch._dynamo.eval_frame", "OptimizedModule")

_HOOKS: Final = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)


class SavedModule(msgspec.Struct, frozen=True):
    """One module of a pickled model.

    Attributes:
        path: Its path, as in `named_modules()`.
        class_path: Dotted path of its class, which need not be installed.
        attributes: What it keeps beside modules, parameters and buffers, as far as it is plain.
        tensors: Its parameters and buffers by name; those registered as `None` are absent.
        unreadable: Names of parameters and buffers whose description could not be read.
        hooks: Dotted names of the functions that are hooked to it.
    """

    path: str
    class_path: str
    attributes: dict[str, Plain]
    tensors: dict[str, SavedTensor]
    unreadable: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()

    @property
    def training(self) -> bool | None:
        """The training flag; `None` where there is none."""
        flag = self.attributes.get("training")
        return flag if isinstance(flag, bool) else None

    @property
    def class_name(self) -> str:
        """Name of the class, without its package."""
        return self.class_path.rpartition(".")[2]

    def full_name(self, tensor: str) -> str:
        """Name of one of its tensors in the whole model, as in `state_dict()`."""
        return joined(self.path, tensor)


def is_module(value: Any) -> bool:
    """Whether a value is the stub of an `nn.Module`: all of them keep these three tables."""
    own = state_of(value)
    return all(mapping(own.get(name)) is not None for name in ("_modules", "_parameters", "_buffers"))


def unwrap(value: Any) -> tuple[Any, tuple[str, ...]]:
    """The model inside DataParallel, `torch.compile` and their like.

    Args:
        value: The stub of a module.

    Returns:
        The stub of the model, and the class names of the wrappers that were taken off.
    """
    taken: list[str] = []
    while len(taken) < len(WRAPPERS) and (child := _inside(value)) is not None:
        taken.append(class_path(value).rpartition(".")[2])
        value = child
    return value, tuple(taken)


def uncompiled(value: Any) -> Any:
    """The stub of the module that `torch.compile` wrapped as a part of a model; any other value as it is."""
    for _ in WRAPPERS:
        if not isinstance(value, Stub) or value.maker != _COMPILED or (child := _inside(value)) is None:
            break
        value = child
    return value


def _inside(value: Any) -> Any:
    """What a wrapper holds; `None` where the value is none."""
    inner = WRAPPERS.get(class_path(value))
    if inner is None:
        return None
    child = (mapping(state_of(value).get("_modules")) or {}).get(inner)
    if child is None and isinstance(value.arguments, tuple) and value.arguments:
        child = value.arguments[0]  # torch.compile pickles the call that would compile the model again
    return child if is_module(child) or class_path(child) in WRAPPERS else None


def modules(root: Any) -> Iterator[SavedModule]:
    """The modules of a model in the order of `named_modules()`, each object once.

    Args:
        root: The stub of the root module.

    Yields:
        A record for each module.

    Raises:
        ValueError: There are more modules than any model has, or they keep more.
    """
    pending: list[tuple[str, Any]] = [("", root)]
    seen: set[int] = set()
    values = letters = 0
    while pending:
        path, stub = pending.pop()
        stub = uncompiled(stub)
        if id(stub) in seen:
            continue
        seen.add(id(stub))
        if not is_module(stub):
            values += extent(stub)
            continue
        if len(seen) > MOST_MODULES:
            raise ValueError("it has more modules than any model")
        own = state_of(stub)
        values += _extent(own) + extent(stub)
        letters += len(path)
        if values > MOST_VALUES or letters > MOST_LETTERS:
            raise ValueError("it describes more than any model needs")
        yield _record(path, stub, own)
        children = [(name, child) for name, child in (mapping(own["_modules"]) or {}).items() if isinstance(name, str)]
        pending += [(joined(path, name), child) for name, child in reversed(children)]


def foreign_packages(tree: Iterable[SavedModule], known: Collection[str]) -> tuple[str, ...]:
    """The packages of the classes of a model that are not from known code.

    Args:
        tree: The modules of the model.
        known: Dotted names of packages, such as `torch.nn.modules` and `timm`.

    Returns:
        Names of top-level packages, sorted; `torch.fx` for GraphModules, which are made of code in the file.
    """
    foreign = set()
    for path in {module.class_path for module in tree}:
        if not any(path.startswith(f"{package}.") for package in known):
            first, _, rest = path.partition(".")
            foreign.add(f"torch.{rest.partition('.')[0]}" if first == "torch" else first)
    return tuple(sorted(foreign))


def class_path(value: Any) -> str:
    """Dotted path of the class of a stub; of a GraphModule, the class that it was made from."""
    if not isinstance(value, Stub):
        return ""
    if _is_graph_module(value):
        name = state_of(value).get("_graphmodule_cls_name")
        return f"torch.fx.graph_module.{name}" if isinstance(name, str) else "torch.fx.graph_module.GraphModule"
    found = class_of(value)
    return "" if found is None else str(found)


def class_of(value: Stub) -> Global | None:
    """The class, or other maker, of a stub as the file names it; `None` where that is no name."""
    maker = value.maker
    # Protocols 0 and 1 make objects with a helper that is given the class.
    if named(maker, "copyreg._reconstructor", "copy_reg._reconstructor") and isinstance(value.arguments, tuple):
        maker = value.arguments[0] if value.arguments else None
    return maker if isinstance(maker, Global) else None


def _is_graph_module(value: Any) -> bool:
    kinds = ("reduce_graph_module", "reduce_deploy_graph_module", "reduce_package_graph_module")
    makers = (f"torch.fx.graph_module.{kind}" for kind in kinds)
    return isinstance(value, Stub) and named(value.maker, *makers)


def state_of(value: Any) -> dict[str, Any]:
    """The attributes of the stub of a module by name; empty for anything else."""
    if isinstance(value, Stub) and _is_graph_module(value) and isinstance(value.arguments, tuple) and value.arguments:
        return {key: item for key, item in (mapping(value.arguments[0]) or {}).items() if isinstance(key, str)}
    return attributes(value)


def _extent(own: dict[str, Any]) -> int:
    """How many values `_record` and `modules` look at."""
    rows = [value for value in own.values() if isinstance(value, (tuple, list)) and len(value) <= LONGEST_ROW]
    tables = [mapping(own.get(name)) or () for name in ("_modules", "_parameters", "_buffers", *_HOOKS)]
    return len(own) + sum(map(len, [*rows, *tables]))


def _record(path: str, stub: Stub, own: dict[str, Any]) -> SavedModule:
    tensors: dict[str, SavedTensor] = {}
    unreadable: list[str] = []
    for table in ("_parameters", "_buffers"):
        for name, value in (mapping(own[table]) or {}).items():
            if not isinstance(name, str) or value is None:
                continue
            tensor = as_tensor(value)
            if tensor is None:
                unreadable.append(name)
            else:
                tensors[name] = tensor
    kept = {name: plain for name, value in own.items() if (plain := _plain(value)) is not _DROPPED}
    hooks = tuple(name for table in _HOOKS for name in _functions(own.get(table)))
    return SavedModule(path, class_path(stub), kept, tensors, tuple(unreadable), hooks)


_DROPPED: Final = object()


def _plain(value: Any) -> Any:
    """A value that may be kept, or `_DROPPED`."""
    if isinstance(value, Global):
        return str(value)
    if isinstance(value, (tuple, list)):
        return tuple(value) if len(value) <= LONGEST_ROW and all(map(_is_plain_scalar, value)) else _DROPPED
    return value if _is_plain_scalar(value) else _DROPPED


def _is_plain_scalar(value: Any) -> bool:
    if not is_scalar(value) or isinstance(value, (bytes, tuple)):
        return False
    return not isinstance(value, (str, int)) or can_be_sent(value)


def _functions(table: Any) -> list[str]:
    return [
        str(value) if isinstance(value, Global) else class_path(value) or "unknown"
        for value in (mapping(table) or {}).values()
    ]
