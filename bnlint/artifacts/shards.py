"""Weights that are spread over several files with an index, and folders as the Hugging Face libraries write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from bnlint.artifacts.call_warning import warning_of_calls
from bnlint.artifacts.checkpoint_directory import read_checkpoint_directory
from bnlint.artifacts.choice import choose
from bnlint.artifacts.inert.sandbox import read_inert
from bnlint.artifacts.safetensors_header import read_header
from bnlint.artifacts.saved import Saved, of_stored, read_saved, stored_tensors, without_prefix
from bnlint.artifacts.sniff import PICKLED, Kind, sniff
from bnlint.artifacts.stored import StoredTensor
from bnlint.artifacts.weight_folders import (
    FOLDER_AGAIN,
    INDEX_SUFFIX,
    METADATA,
    USUAL_FILES,
    holds_weights,
    listed_files,
)
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.opening import is_folder, is_there, is_to_be_read, open_regular, unreadable

_OF_WEIGHTS: Final = PICKLED | {Kind.SAFETENSORS}
"""What the files of an index, and those that give a folder its name, are."""


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
    if is_to_be_read(path / METADATA):
        return read_checkpoint_directory(path, name, key)
    for usual in USUAL_FILES:
        if is_to_be_read(path / usual):
            inner_name = f"{name.rstrip('/')}/{usual}"
            if usual.endswith(INDEX_SUFFIX):
                found = read_index(path / usual, inner_name, key)
            else:
                found = read_saved(path / usual, inner_name, _sniff(path / usual, inner_name), key)
            return replace(found, notes=(f"`{usual}` of the folder was read.", *found.notes))
    try:
        inner = sorted(entry.name for entry in path.iterdir() if is_folder(entry) and holds_weights(entry))
    except (OSError, ValueError) as error:
        raise unreadable(name, error) from error
    raise NotAnalysedError(f"`{name}` is a folder without a `model.safetensors` or its like.", _hint(inner))


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
    places = listed_files(path, name)
    tensors: dict[str, StoredTensor] = {}
    forms: set[str] = set()
    called: dict[str, None] = {}
    versions: dict[str, int] = {}
    for file, wanted in places.items():
        shard = path.parent / file
        if not is_there(shard):
            raise NotAnalysedError(f"`{name}` lists `{file}`, which is missing.", FOLDER_AGAIN)
        found = _read_shard(shard, str(PurePosixPath(name).parent / file))
        forms.add(found.form)
        called |= dict.fromkeys(found.called)
        versions |= found.versions
        lacking = wanted.keys() - found.tensors.keys()
        if lacking:
            cause = f"`{file}` has no tensor `{min(lacking)}`, which `{name}` says is in it."
            with warning_of_calls(file, found.called):
                raise NotAnalysedError(cause, FOLDER_AGAIN)
        tensors |= {stored: found.tensors[stored] for stored in wanted}
    form = "safetensors" if forms == {"safetensors"} else "state_dict"
    return replace(of_stored(tensors, form, name), versions=without_prefix(versions, tensors), called=tuple(called))


def _read_shard(path: Path, name: str) -> _Shard:
    """The tensors of one file under their full names: what wrappers put before them shows only in all files."""
    kind = _sniff(path, name)
    if kind is Kind.SAFETENSORS:
        return _Shard("safetensors", read_header(path, name), {}, ())
    contents = read_inert(path, name, kind)
    with warning_of_calls(name, contents.called, keep_hint=True):
        if not contents.entries:
            raise NotAnalysedError(f"`{name}` holds {contents.holds}, not weights.")
        entry = choose(contents.entries, "", name)
    return _Shard("state_dict", stored_tensors(entry, contents, path, name), entry.versions, contents.called)


def _sniff(path: Path, name: str) -> Kind:
    try:
        with open_regular(path) as file:
            content = sniff(file)
    except (OSError, ValueError) as error:
        raise unreadable(name, error) from error
    if content.kind is Kind.UNREADABLE:
        raise NotAnalysedError(f"`{name}` is {content.words}.", content.hint)
    if content.kind not in _OF_WEIGHTS:
        raise NotAnalysedError(f"`{name}` is {content.words}, not weights.", "Name that file itself.")
    return content.kind


def _hint(folders: list[str]) -> str:
    if folders:
        return f"Name one of the folders in it: {', '.join(f'`{folder}`' for folder in folders)}."
    return "Name the file in it."
