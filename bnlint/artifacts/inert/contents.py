"""What a saved file offers to look at: whole models and sets of weights, each under the key that leads to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnlint.artifacts.inert.callees import true_names
from bnlint.artifacts.inert.objects import Node, objects_of
from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.inert.tensors import SavedTensor, as_tensor
from bnlint.artifacts.inert.tree import (
    SavedModule,
    class_path,
    foreign_packages,
    is_module,
    modules,
    unwrap,
)
from bnlint.artifacts.inert.values import Global, Stub, attributes, extent, mapping

if TYPE_CHECKING:
    from bnlint.artifacts.inert.archive import Opened

DEEPEST_KEY: Final = 4
"""Keys that may lead from the top of a checkpoint to a model, such as `ema.module.state_dict`."""

MOST_ENTRIES: Final = 256
"""Models and sets of weights that one file may offer."""

MOST_SEARCHED: Final = 1 << 18
"""Containers and objects that are looked into for models and weights, those with fewer keys first."""

MOST_PAIRS: Final = 1 << 21
"""Keys with values in all of them; a file can give one dict to thousands of objects."""


class Entry(msgspec.Struct, frozen=True):
    """A model or a set of weights in a file.

    Attributes:
        keys: The keys, places in a list and attributes that lead to it; none where it is all that the file holds.
        modules: The modules of a whole model; empty for a set of weights.
        tensors: A set of weights by name; empty for a whole model.
        versions: For weights with metadata: the version that each module noted, by path. BatchNorm notes 2, whether
            or not it keeps statistics.
        wrappers: Class names of the wrappers that were taken off a model.
        objects: For a whole model of known code only: all that it holds, the root first.
    """

    keys: tuple[str, ...]
    modules: tuple[SavedModule, ...] = ()
    tensors: dict[str, SavedTensor] = {}
    versions: dict[str, int] = {}
    wrappers: tuple[str, ...] = ()
    objects: tuple[Node, ...] = ()

    @property
    def key(self) -> str:
        """The keys joined by dots, as `--key` takes them."""
        return ".".join(self.keys)


class Contents(msgspec.Struct, frozen=True):
    """A file of `torch.save`, or a pickle, as data.

    Attributes:
        entries: What can be looked at, in the order of the file.
        regions: Where each storage lies, by its key.
        little_endian: The byte order of the storages.
        named: Dotted names of all classes and functions that the file names.
        called: Those that loading it would call.
        holds: What the file holds, in words, for a file without entries.
    """

    entries: tuple[Entry, ...]
    regions: dict[str, Region]
    little_endian: bool
    named: tuple[str, ...]
    called: tuple[str, ...]
    holds: str


def contents(opened: Opened, known: Collection[str] = ()) -> Contents:
    """Find the models and the sets of weights in a file.

    Args:
        opened: The file.
        known: The packages of known code: of a model whose classes are all from them, every object is kept.

    Returns:
        What it offers; without entries where there is neither.

    Raises:
        ValueError: A model has more modules than any real one.
    """
    value = opened.pickled.value
    return Contents(
        entries=tuple(_entries(value, known)),
        regions=dict(opened.regions),
        little_endian=opened.little_endian,
        named=tuple(map(str, opened.pickled.named)),
        called=true_names(opened.pickled.called),
        holds=_describe(value),
    )


def _entries(root: Any, known: Collection[str]) -> Iterator[Entry]:
    # Those with fewer keys first: a long list of something else must not use up the places.
    pending: deque[tuple[tuple[str, ...], Any]] = deque([((), root)])
    seen: set[int] = set()
    found = pairs = 0
    while pending and found < MOST_ENTRIES and len(seen) < MOST_SEARCHED:
        keys, value = pending.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        pairs += extent(value)
        if pairs > MOST_PAIRS:
            raise ValueError("it describes more than any model needs")
        entry = _entry(keys, value, known)
        if entry is not None:
            found += 1
            yield entry
        if len(keys) < DEEPEST_KEY:
            pending += [((*keys, key), item) for key, item in _inner(value) if _may_hold(item)]


def _inner(value: Any) -> list[tuple[str, Any]]:
    """What a dict, a list or an object such as a trainer holds, by key, place or attribute."""
    if is_module(value):
        return []
    if isinstance(value, (list, tuple)):
        return [(str(index), item) for index, item in enumerate(value) if _may_hold(item)]
    named = mapping(value)
    return [
        (key, item) for key, item in (attributes(value) if named is None else named).items() if isinstance(key, str)
    ]


def _may_hold(value: Any) -> bool:
    """Whether a value may hold a model or weights, or be such: most of what a checkpoint has is tensors."""
    if isinstance(value, Stub):
        return not isinstance(value.maker, Global) or value.maker.module != "torch._utils" or bool(value.states)
    return isinstance(value, (dict, list, tuple)) and len(value) > 0


def _entry(keys: tuple[str, ...], value: Any, known: Collection[str]) -> Entry | None:
    root, wrappers = unwrap(value)
    if is_module(root):
        tree = tuple(modules(root))
        objects = () if foreign_packages(tree, known) else objects_of(root)
        return Entry(keys, modules=tree, wrappers=wrappers, objects=objects)
    names = mapping(value)
    if not names or not all(isinstance(name, str) for name in names):
        return None
    tensors = {name: tensor for name, item in names.items() if (tensor := as_tensor(item)) is not None}
    return Entry(keys, tensors=tensors, versions=_versions(value)) if tensors else None


def _versions(value: Any) -> dict[str, int]:
    """`_metadata` of a state_dict: every module's version, also of those without a tensor."""
    noted = mapping(attributes(value).get("_metadata")) or {}
    found = {}
    for path, item in noted.items():
        version = (mapping(item) or {}).get("version")
        if isinstance(path, str) and isinstance(version, int):
            found[path] = version
    return found


def _describe(value: Any) -> str:
    tensor = as_tensor(value)
    if tensor is not None:
        return f"a bare tensor of shape {'x'.join(map(str, tensor.shape)) or '()'}"
    if isinstance(value, Global):
        return f"the name `{value}`"
    if isinstance(value, Stub):
        return f"a pickled `{class_path(value) or 'object'}`"
    if isinstance(value, dict):
        return "a `dict` without named tensors" if value else "an empty `dict`"
    return f"a `{type(value).__name__}`"
