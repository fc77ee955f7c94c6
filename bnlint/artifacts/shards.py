"""Weights that are spread over several files with an index, and folders as the Hugging Face libraries write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from bnlint.artifacts.checkpoint_directory import METADATA, read_checkpoint_directory
from bnlint.artifacts.inert.sandbox import read_inert
from bnlint.artifacts.inside import is_inside
from bnlint.artifacts.safetensors_header import read_header
from bnlint.artifacts.saved import Saved, choose, of_stored, read_saved, stored_tensors, without_prefix
from bnlint.artifacts.sniff import Kind, sniff
from bnlint.artifacts.stored import StoredTensor
from bnlint.errors import NotAnalysedError, UsageError

LARGEST_INDEX: Final = 1 << 27
"""Bytes of an index; it takes about 100 for each tensor."""

INDEX_SUFFIX: Final = ".index.json"
"""How the names of indices end."""

MOST_SHARDS: Final = 10_000
"""Files of one model; the largest published ones have some hundred."""

_FILES: Final = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin.index.json",
    "diffusion_pytorch_model.bin",
)
"""Where transformers and diffusers keep weights, safetensors first, as those libraries themselves prefer them."""

_AGAIN: Final = "Download or copy the whole folder again."


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


@dataclass(frozen=True)
class _Shard:
    form: str
    tensors: Mapping[str, StoredTensor]
    versions: Mapping[str, int]
    called: tuple[str, ...]


def read_folder(path: Path, name: str, key: str = "") -> Saved:
    """Read the weights in a folder as transformers, diffusers or `torch.distributed.checkpoint` write it.

    Args:
        path: The folder.
        name: What the user called it.
        key: Which of several sets of weights.

    Returns:
        The weights, with a note that names the file.

    Raises:
        NotAnalysedError: The folder has no weights under a usual name, or they are damaged.
        UsageError: What was chosen by key is not there.
    """
    if (path / METADATA).is_file():
        return read_checkpoint_directory(path, name, key)
    for usual in _FILES:
        if (path / usual).is_file():
            inner = f"{name.rstrip('/')}/{usual}"
            if usual.endswith(INDEX_SUFFIX):
                found = read_index(path / usual, inner, key)
            else:
                found = read_saved(path / usual, inner, _sniff(path / usual, inner), key)
            return replace(found, notes=(f"`{usual}` of the folder was read.", *found.notes))
    raise NotAnalysedError(f"`{name}` is a folder without a `model.safetensors` or its like.", _hint(path))


def read_index(path: Path, name: str, key: str = "") -> Saved:
    """Read the weights that an index lists; of the files only headers and pickles are read.

    Args:
        path: The index, a `*.index.json`.
        name: What the user called it.
        key: Refused: an index holds one set of weights.

    Returns:
        The weights of all files.

    Raises:
        NotAnalysedError: The index is damaged or leaves its folder, or a file of it is missing or damaged.
        UsageError: A key was given.
    """
    if key:
        raise UsageError(f"`{name}` is an index of one set of weights: `--key` does not apply.")
    places = _places(path, name)
    tensors: dict[str, StoredTensor] = {}
    forms: set[str] = set()
    called: dict[str, None] = {}
    versions: dict[str, int] = {}
    for file, wanted in places.items():
        shard = path.parent / file
        if not shard.is_file():
            raise NotAnalysedError(f"`{name}` lists `{file}`, which is missing.", _AGAIN)
        found = _read_shard(shard, str(PurePosixPath(name).parent / file))
        forms.add(found.form)
        called |= dict.fromkeys(found.called)
        versions |= found.versions
        lacking = wanted.keys() - found.tensors.keys()
        if lacking:
            cause = f"`{file}` has no tensor `{min(lacking)}`, which `{name}` says is in it."
            raise NotAnalysedError(cause, _AGAIN)
        tensors |= {stored: found.tensors[stored] for stored in wanted}
    form = "safetensors" if forms == {"safetensors"} else "state_dict"
    return replace(of_stored(tensors, form, name), versions=without_prefix(versions, tensors), called=tuple(called))


def listed_files(path: Path, name: str) -> frozenset[str]:
    """The names of the files that an index lists.

    Args:
        path: The index.
        name: What the user called it.

    Raises:
        NotAnalysedError: The index is damaged or leaves its folder.
    """
    return frozenset(_places(path, name))


def _places(path: Path, name: str) -> dict[str, dict[str, None]]:
    """The names of the tensors in each file."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_INDEX + 1)
        if len(data) > LARGEST_INDEX:
            raise ValueError("it is longer than that of any model")
        index = msgspec.json.decode(data, type=_Index)
    except (OSError, ValueError, RecursionError) as error:
        raise NotAnalysedError(f"`{name}` is not a sound index of weights: {error}.", _AGAIN) from error
    places: dict[str, dict[str, None]] = {}
    for stored, file_name in index.weight_map.items():
        places.setdefault(file_name, {})[stored] = None
    if len(places) > MOST_SHARDS:
        raise NotAnalysedError(f"`{name}` lists {len(places)} files, more than any model has.")
    for file_name in places:
        if not is_inside(file_name):
            raise NotAnalysedError(f"`{name}` lists `{file_name}`, which is not a file of its folder.")
    return places


def _read_shard(path: Path, name: str) -> _Shard:
    """The tensors of one file under their full names: what wrappers put before them shows only in all files."""
    kind = _sniff(path, name)
    if kind is Kind.SAFETENSORS:
        return _Shard("safetensors", read_header(path, name), {}, ())
    contents = read_inert(path, name, kind)
    if not contents.entries:
        raise NotAnalysedError(f"`{name}` holds {contents.holds}, not weights.")
    entry = choose(contents.entries, "", name)
    return _Shard("state_dict", stored_tensors(entry, contents, path, name), entry.versions, contents.called)


def _sniff(path: Path, name: str) -> Kind:
    try:
        with path.open("rb") as file:
            content = sniff(file)
    except OSError as error:
        raise NotAnalysedError(f"`{name}` cannot be read: {error}.") from error
    if content.kind is Kind.UNREADABLE:
        raise NotAnalysedError(f"`{name}` is {content.words}.", content.hint)
    if content.kind is Kind.PROGRAM:
        raise NotAnalysedError(f"`{name}` is {content.words}, not weights.", "Name that file itself.")
    return content.kind


def _hint(path: Path) -> str:
    try:
        folders = sorted(inner.name for inner in path.iterdir() if inner.is_dir() and holds_weights(inner))
    except OSError:
        folders = []
    if folders:
        return f"Name one of the folders in it: {', '.join(f'`{folder}`' for folder in folders)}."
    return "Name the file in it."


def holds_weights(folder: Path) -> bool:
    """Whether a folder has what `read_folder` reads.

    Args:
        folder: Any folder.
    """
    return any((folder / usual).is_file() for usual in (METADATA, *_FILES))
