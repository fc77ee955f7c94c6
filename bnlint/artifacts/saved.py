"""Saved models and weights as data, whatever the file: chosen by key, without the names of wrappers."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bnlint.artifacts.call_warning import unusual_calls, warning_of_calls
from bnlint.artifacts.choice import choose, remark
from bnlint.artifacts.names import strip_paths, strip_wrappers
from bnlint.artifacts.powerful import is_powerful
from bnlint.artifacts.safetensors_header import read_header
from bnlint.artifacts.sniff import Kind
from bnlint.artifacts.stored import StoredTensor
from bnlint.errors import NoModelError, NotAnalysedError, UsageError

if TYPE_CHECKING:
    from bnlint.artifacts.inert.contents import Contents, Entry
    from bnlint.artifacts.inert.objects import Node
    from bnlint.artifacts.inert.regions import Region
    from bnlint.artifacts.inert.script_lines import SourceLine
    from bnlint.artifacts.inert.tree import SavedModule


@dataclass(frozen=True)
class SavedObjects:
    """All that a whole model of known code holds.

    Attributes:
        nodes: The objects, the root first.
        file: The file.
        regions: Where its storages lie, by key.
        little_endian: The byte order of the file.
    """

    nodes: tuple[Node, ...]
    file: Path
    regions: Mapping[str, Region]
    little_endian: bool

    @property
    def readable_here(self) -> bool:
        """Whether the file has the byte order of this machine."""
        return self.little_endian == (sys.byteorder == "little")


@dataclass(frozen=True)
class Saved:
    """A model, or a set of weights, read from a file as data.

    Attributes:
        form: `pickled_module`, `torchscript`, `package`, `state_dict` or `safetensors`.
        modules: The module tree of a whole model, root first; empty for weights alone.
        tensors: Parameters and buffers by name, without the prefixes of wrappers.
        versions: The version that each module noted in the metadata of a state_dict, by path; empty without metadata.
        keys: The keys in the file that led here.
        baked_training: Modules of a program whose code fixes the mode of their BatchNorm calls: whether one normalises
            by the batch for ever.
        lines: The line that the first call of a module of a program was made from.
        untold_modes: Modules of a program of which the code does not tell how they normalise.
        called: Classes and functions that the file's own loader would call.
        classes: Classes of modules in the file, those of models that were not chosen among them.
        notes: Remarks for the report.
        objects: All that a whole model holds, where its classes are known code; else `None`.
        before_loading: What has to be done before the weights can be loaded into a model, a clause; empty for nothing.
        wrappers: Class names of the wrappers that were taken off the model; `torch.load` leaves them on.
        named: All classes and functions that the file of a whole model names.
    """

    form: str
    modules: tuple[SavedModule, ...]
    tensors: Mapping[str, StoredTensor]
    versions: Mapping[str, int] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    classes: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    baked_training: Mapping[str, bool] = field(default_factory=dict)
    lines: Mapping[str, SourceLine] = field(default_factory=dict)
    untold_modes: Collection[str] = frozenset()
    objects: SavedObjects | None = None
    before_loading: str = ""
    wrappers: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def unusual_calls(self) -> list[str]:
        """What loading the file would call that no saved model needs, the most dangerous first."""
        return unusual_calls(name for name in self.called if name not in self.classes)


def read_saved(path: Path, name: str, kind: Kind, key: str = "", known: Collection[str] = ()) -> Saved:
    """Read one file as data.

    Args:
        path: The file.
        name: What the user called it.
        kind: Its format.
        key: Which of several models or sets of weights, as `ema` or `ema.state_dict`; the usual one by default.
        known: The packages of known code: of a model whose classes are all from them, every object is read.

    Returns:
        What was chosen.

    Raises:
        NotAnalysedError: The file is damaged, holds neither a model nor weights, or holds several and none was chosen.
        UsageError: What was chosen is not there.
    """
    if kind is Kind.SAFETENSORS:
        if key:
            raise UsageError(f"`{name}` is a safetensors file, which holds one set of weights: `--key` does not apply.")
        return of_stored(read_header(path, name), "safetensors", name)
    from bnlint.artifacts.inert.sandbox import read_inert  # safetensors files need no child

    return of_contents(read_inert(path, name, kind, known=known), path, name, key)


def of_contents(contents: Contents, path: Path, name: str, key: str = "") -> Saved:
    """Choose from what a file holds.

    Args:
        contents: The file as data.
        path: The file.
        name: What the user called it.
        key: As for `read_saved`.

    Raises:
        NotAnalysedError: The file holds neither a model nor weights, or holds several and none was chosen.
        UsageError: What was chosen is not there.
    """
    classes = _classes(contents)
    calls = unusual_calls(called for called in contents.called if called not in classes)
    with warning_of_calls(name, calls, keep_hint=True):
        if not contents.entries:
            # In a folder, a file that can do harm is not passed over as one that is no model.
            kind = NotAnalysedError if any(map(is_powerful, calls)) else NoModelError
            hint = "" if calls else "Save `model.state_dict()` instead."
            raise kind(f"`{name}` holds {contents.holds}, not a model or its weights.", hint)
        entry = choose(contents.entries, key, name)
    return _saved(entry, contents, path, name, key)


def of_stored(tensors: Mapping[str, StoredTensor], form: str, name: str) -> Saved:
    """Weights whose names and places are known.

    Args:
        tensors: By their names in the file.
        form: Form of the file.
        name: What the user called it.

    Raises:
        NotAnalysedError: There is not a single tensor.
    """
    if not tensors:
        raise NotAnalysedError(f"`{name}` holds not a single tensor.")
    names, notes = strip_wrappers(tensors)
    return Saved(form, (), {short: tensors[stored] for short, stored in names.items()}, notes=notes)


def stored_tensors(entry: Entry, contents: Contents, path: Path, name: str) -> dict[str, StoredTensor]:
    """The tensors of an entry by their full names in the file.

    Args:
        entry: A model or a set of weights.
        contents: The file that it stands in.
        path: The file.
        name: What the user called it.
    """
    described = entry.tensors or {
        module.full_name(tensor_name): tensor
        for module in entry.modules
        for tensor_name, tensor in module.tensors.items()
    }
    return {
        full: StoredTensor(tensor, path, name, contents.regions.get(tensor.storage), contents.little_endian)
        for full, tensor in described.items()
    }


def _saved(entry: Entry, contents: Contents, path: Path, name: str, key: str) -> Saved:
    notes = [remark(entry, contents.entries, key)] if entry.key else []
    stored = stored_tensors(entry, contents, path, name)
    if entry.modules:
        objects = SavedObjects(entry.objects, path, contents.regions, contents.little_endian)
        return Saved(
            "pickled_module",
            entry.modules,
            stored,
            keys=entry.keys,
            called=contents.called,
            named=contents.named,
            classes=_classes(contents),
            notes=tuple(notes),
            wrappers=entry.wrappers,
            objects=objects if entry.objects else None,
        )
    names, prefix_notes = strip_wrappers(stored)
    return Saved(
        "state_dict",
        (),
        {short: stored[full] for short, full in names.items()},
        without_prefix(entry.versions, stored),
        entry.keys,
        contents.called,
        _classes(contents),
        (*notes, *prefix_notes),
        before_loading=_before_loading(stored.values()),
    )


def _before_loading(tensors: Iterable[StoredTensor]) -> str:
    without_values = any(not tensor.has_values and tensor.description.numel for tensor in tensors)
    return "save the weights by `torch.save`, or as safetensors" if without_values else ""


def _classes(contents: Contents) -> frozenset[str]:
    return frozenset(module.class_path for entry in contents.entries for module in entry.modules)


def without_prefix(versions: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """The versions of modules by the paths that remain when wrappers are taken off.

    Args:
        versions: By the paths in the file.
        names: The names of the weights in the file.
    """
    return {short: versions[path] for short, path in strip_paths(versions, names).items()}
