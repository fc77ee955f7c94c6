"""Files of `torch.export.save`, read as what they are: a zip archive with the graph as JSON and the weights beside it.

`torch.export.load` is not used, which unpickles the example inputs and runs the guards; neither is looked at here.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

import msgspec

from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.program_schema import SCHEMA, GraphModule, Payloads, Program, VersionOnly
from bnlint.artifacts.program_tensors import described_tensors, pickled_tensors, tensors_of
from bnlint.artifacts.sniff import BAD_ZIP
from bnlint.artifacts.stored import StoredTensor
from bnlint.artifacts.zip_members import BadArchiveError, region_of, stored_members
from bnlint.errors import AGAIN, NotAnalysedError

LARGEST_JSON: Final = 1 << 27
"""Bytes of a member with JSON. A call takes about 1 kB, so this is `program_schema.MOST_NODES` of them."""

MOST_OBJECTS: Final = 1 << 22
"""Objects and lists in a member with JSON. A call takes about forty, each up to 250 bytes of memory."""

_MODELS: Final = "models/"
_OLD_PROGRAM: Final = "serialized_exported_program.json"
"""The member with the graph in files of torch 2.7 and older."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class SavedProgram:
    """An exported program as it lies in its file.

    Attributes:
        name: What the user called the file.
        graph_module: The graph, and what its inputs are.
        tensors: Parameters, buffers and constants by name, in the order of the graph's inputs.
        notes: Remarks for the report.
    """

    name: str
    graph_module: GraphModule
    tensors: Mapping[str, StoredTensor]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Archive:
    """An open archive.

    Attributes:
        file: The file.
        zipped: The archive in it.
        members: Its members by their name without the top folder.
    """

    file: IO[bytes]
    zipped: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]

    def json(self, name: str, form: type[_T]) -> _T:
        """Read a member as JSON."""
        member = self.members[name]
        if member.file_size > LARGEST_JSON:
            raise BadArchiveError(f"`{name}` is longer than any program needs")
        with self.zipped.open(member) as stream:
            text = stream.read(LARGEST_JSON)
        # A file of braces takes eighty times its size in memory.
        if text.count(b"{") + text.count(b"[") > MOST_OBJECTS:
            raise BadArchiveError(f"`{name}` has more parts than any program")
        if form is Program:
            _check_version(text)
        return msgspec.json.decode(text, type=form)

    def byte_order(self) -> str:
        """The byte order of the weights, `little` or `big`."""
        member = self.members.get("byteorder")
        return "big" if member is not None and self.zipped.open(member).read(4) == b"big" else "little"

    def regions(self, folder: str) -> dict[str, Region]:
        """Where the members of a folder lie, by their name in it."""
        names = [name for name in self.members if name.startswith(folder)]
        return {name.removeprefix(folder): region_of(self.file, self.members[name]) for name in names}


def read_program(path: Path, name: str) -> SavedProgram:
    """Read an exported program as data; nothing in the file is run, and torch is not needed.

    Each weight is a member of raw bytes in what torch writes today. In files of older releases all weights are one
    pickle, which is read as `read_inert` reads those of `torch.save`.

    Args:
        path: The file.
        name: What the user called it.

    Raises:
        NotAnalysedError: The file is damaged, holds several programs, or is of a version that bnlint does not know.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as zipped:
            return _read(_Archive(file, zipped, stored_members(zipped)), path, name)
    except BAD_ZIP as error:  # msgspec's errors are ValueErrors as well
        cause = f"`{name}` is cut short or damaged: {str(error) or type(error).__name__}."
        raise NotAnalysedError(cause, AGAIN) from error
    except RecursionError as error:
        raise NotAnalysedError(f"`{name}` is damaged: its JSON is nested deeper than any program.", AGAIN) from error


def _read(archive: _Archive, path: Path, name: str) -> SavedProgram:
    model = _choose(archive.members, name)
    program = archive.json(f"{_MODELS}{model}.json" if model else _OLD_PROGRAM, Program).graph_module
    stored = _weights(archive, model, path, name)
    notes = []
    if archive.byte_order() != sys.byteorder:
        stored = {tensor: msgspec.structs.replace(found, region=None) for tensor, found in stored.items()}
        notes.append("The file is in the byte order of another machine: the values of its weights were not read.")
    return SavedProgram(name, program, described_tensors(program, path, name) | stored, tuple(notes))


def _weights(archive: _Archive, model: str, path: Path, name: str) -> dict[str, StoredTensor]:
    """The parameters, buffers and constants: each a member of the archive, or all of them in one pickle."""
    found: dict[str, StoredTensor] = {}
    for folder, kind, old in (
        ("data/weights/", "weights", "serialized_state_dict.pt"),
        ("data/constants/", "constants", "serialized_constants.pt"),
    ):
        payloads, pickled = f"{folder}{model}_{kind}_config.json", f"{folder}{model}.pt" if model else old
        if payloads in archive.members:
            found |= tensors_of(archive.json(payloads, Payloads), archive.regions(folder), path, name)
        elif pickled in archive.members:
            found |= pickled_tensors(region_of(archive.file, archive.members[pickled]), path, name)
    return found


def _choose(members: Mapping[str, zipfile.ZipInfo], name: str) -> str:
    """The name of the program in the archive; empty in the form of old releases, which has one without a name."""
    models = [
        member.removeprefix(_MODELS).removesuffix(".json")
        for member in members
        if member.startswith(_MODELS) and member.endswith(".json")
    ]
    if "model" in models:  # the one that torch.export.load takes
        return "model"
    if len(models) > 1:
        listed = ", ".join(f"`{model}`" for model in models)
        raise NotAnalysedError(f"`{name}` holds several programs: {listed}.", "Save each in a file of its own.")
    if not models and _OLD_PROGRAM not in members:
        raise NotAnalysedError(f"`{name}` is an archive of torch.export without a program.")
    return models[0] if models else ""


def _check_version(text: bytes) -> None:
    major = msgspec.json.decode(text, type=VersionOnly).schema_version.major
    if major != SCHEMA:
        raise BadArchiveError(f"its graph is written in version {major} of torch's schema, and bnlint knows {SCHEMA}")
