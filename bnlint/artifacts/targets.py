"""The models that a user means by names of files, folders and patterns."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bnlint.artifacts.address import is_remote
from bnlint.artifacts.sniff import Kind, sniff
from bnlint.artifacts.walking import walk
from bnlint.artifacts.weight_folders import INDEX_SUFFIX, METADATA, WEIGHT_FILES, holds_weights, listed_files
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.opening import NotRegularError, is_folder, is_link_to_nothing, is_to_be_read, open_regular

MODEL_SUFFIXES: Final = frozenset(
    (".bin", ".ckpt", ".onnx", ".pickle", ".pkl", ".pt", ".pt2", ".pth", ".safetensors", ".torchscript")
)
"""Suffixes by which people call models. A file with one that cannot be read is a failure; any other is no model."""

_MODEL_CARD: Final = "config.json"
"""What transformers, diffusers and timm write beside weights: with it a folder is one model, whatever else is in it."""


@dataclass(frozen=True, order=True)
class Target:
    """One thing to check.

    Attributes:
        name: A file, a folder that is one model, or an import string.
        found: Whether it was found in a folder, where there may be other files than models.
    """

    name: str
    found: bool = False


def is_one_target(names: tuple[str, ...]) -> bool:
    """Whether the user names one model, rather than a folder, a pattern or several.

    Args:
        names: What the user named.
    """
    return len(names) == 1 and not _is_pattern(names[0]) and not _is_folder_of_models(Path(names[0]))


def find_targets(names: Iterable[str]) -> list[Target]:
    """Look for the models that names stand for; no file is opened but indices of shards.

    Args:
        names: Files, folders (searched to any depth, without hidden files and folders and without following links to
            folders), patterns with `*`, `?`, `[…]` and `**`, remote addresses (with `*`, or a folder's with a slash at
            its end), or import strings.

    Returns:
        The targets in order of their names, each once. A folder that transformers, diffusers, timm or
        `torch.distributed.checkpoint` wrote is one, and so is an index, which stands for the files that it lists.

    Raises:
        UsageError: A pattern matches nothing.
    """
    targets: dict[str, Target] = {}
    indices = functools.cache(_indices)
    for name in names:
        if is_remote(name):
            targets |= {target.name: target for target in _remote_targets(name)}
            continue
        for expanded in _expanded(name) if _is_pattern(name) else (name,):
            path = Path(expanded)
            if not _is_folder_of_models(path):
                whole = _normal(indices(path.parent).get(path.name, expanded))
                targets[whole] = Target(whole)
                continue
            for inner in _inside(expanded):
                targets.setdefault(_normal(inner), Target(_normal(inner), found=True))
    return sorted(targets.values())


def is_no_model(target: Target) -> bool:
    """Whether a file that was found in a folder can be left out: neither its content nor its suffix is of a model.

    Args:
        target: What was found.
    """
    if not target.found or Path(target.name).suffix.lower() in MODEL_SUFFIXES or is_folder(target.name):
        return False
    if target.name.endswith(INDEX_SUFFIX):
        return False  # of no use to anybody but a model
    if is_remote(target.name):
        return True
    try:
        with open_regular(target.name) as file:
            return sniff(file).kind is Kind.UNREADABLE
    except (NotRegularError, FileNotFoundError, PermissionError):
        return True
    except (OSError, ValueError):
        return is_link_to_nothing(target.name)


def _is_pattern(name: str) -> bool:
    if is_remote(name):
        return "*" in name or name.endswith("/")  # `?` begins the query of an address
    return glob.has_magic(name) and not os.path.lexists(name)


def _remote_targets(name: str) -> Iterator[Target]:
    """A remote file, or what matches a pattern or lies in a folder, with one target for an index and its shards."""
    if not _is_pattern(name):
        yield Target(name)
        return
    from bnlint.artifacts.remote_store import find_remote, remote_indices

    found = find_remote(name)
    if not found:
        raise UsageError(f"No file matches `{name}`.")
    indices = remote_indices(found)
    yield from (Target(indices.get(file, file), in_folder) for file, in_folder in found.items())


def _expanded(pattern: str) -> list[str]:
    try:
        found = [*_matches(pattern)]
    except ValueError:  # no file can have such a name
        found = []
    except RecursionError as error:
        raise UsageError(f"The pattern `{pattern}` has more parts than any path.") from error
    if not found:
        raise UsageError(f"No file matches `{pattern}`.")
    return found


def _matches(pattern: str) -> Iterator[str]:
    """What matches a pattern; `**` follows no links to folders, as two of them can lead round in circles for ever."""
    pieces = pattern.replace(os.sep, "/").split("/")
    if "**" not in pieces:
        yield from glob.glob(pattern)  # noqa: PTH207 (Path.glob takes no absolute pattern)
        return
    at = pieces.index("**")
    before, after = "/".join([*pieces[:at], ""]), "/".join(pieces[at + 1 :])
    for top in _matches(before) if before else ("",):
        for folder, inner_folders, files in walk(top or os.curdir):
            inner_folders[:] = _not_hidden(inner_folders)
            own = os.path.normpath(folder)
            if after:
                yield from _matches(f"{glob.escape(own)}/{after}")
            else:
                yield from (own, *(f"{own}/{name}" for name in _not_hidden(files)))


def _not_hidden(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(".")]


def _normal(name: str) -> str:
    return os.path.normpath(name) if os.path.lexists(name) else name


def _is_folder_of_models(path: Path) -> bool:
    return is_folder(path) and not _is_model_folder(path)


def _is_model_folder(path: Path) -> bool:
    """Whether a folder that the user names, or one that is found, is one model."""
    return holds_weights(path) and (is_to_be_read(path / _MODEL_CARD) or is_to_be_read(path / METADATA))


def _inside(folder: str) -> Iterator[str]:
    unreadable: list[str] = []
    for top, inner_folders, files in walk(folder, unreadable.append):
        inner_folders[:] = _not_hidden(inner_folders)
        path = Path(top)
        # What was listed is not looked for again: on a path of a thousand folders each look takes its time.
        if not WEIGHT_FILES.isdisjoint(files) and _is_model_folder(path):
            yield top
            if is_to_be_read(path / METADATA):
                inner_folders.clear()
            continue
        shards = _indices(path) if any(name.endswith(INDEX_SUFFIX) for name in files) else {}
        yield from (str(path / name) for name in files if not name.startswith(".") and name not in shards)
    yield from map(os.path.normpath, unreadable)  # each a target that fails, for nothing may be passed over in silence


def _indices(folder: Path) -> dict[str, str]:
    """The index that lists each shard in a folder, by the name of the shard; one alone can have half a layer."""
    try:
        indices = sorted(file for file in folder.iterdir() if file.name.endswith(INDEX_SUFFIX))
    except (OSError, ValueError):
        return {}
    return {shard: str(index) for index in indices for shard in _listed(index)}


def _listed(index: Path) -> Iterable[str]:
    """The files of an index; none for one that is damaged, which is a target of its own and will say so."""
    try:
        return listed_files(index, str(index))
    except NotAnalysedError:
        return ()
