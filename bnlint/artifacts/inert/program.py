"""Archives of `torch.export.save` as data: the graph, which is JSON, and where the weights lie."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

import msgspec

from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.program_schema import SCHEMA, GraphModule, Payloads, Program, VersionOnly
from bnlint.artifacts.zip_members import (
    BAD_ZIP,
    BadArchiveError,
    bad_zip_words,
    open_archive,
    region_of,
    stored_members,
)
from bnlint.opening import open_regular

LARGEST_JSON: Final = 1 << 27
"""Bytes of a member with JSON. A call takes about 1 kB, so this is `program_schema.MOST_NODES` of them."""

MOST_OBJECTS: Final = 1 << 22
"""Objects and lists in a member with JSON. A call takes about forty, each up to 250 bytes of memory."""

_MODELS: Final = "models/"
_OLD_PROGRAM: Final = "serialized_exported_program.json"
"""The member with the graph in files of torch 2.7 and older."""

_T = TypeVar("_T")


class Weights(msgspec.Struct, frozen=True):
    """The parameters and buffers, or the constants, of a program.

    Attributes:
        payloads: What they are, and which members hold their values; `None` where all are one pickle.
        regions: Where these members lie, by name.
        pickled: Where the pickle lies.
    """

    payloads: Payloads | None = None
    regions: dict[str, Region] = {}
    pickled: Region | None = None


class ProgramContents(msgspec.Struct, frozen=True):
    """What an archive holds.

    Attributes:
        models: The names of its programs; empty in the form of old releases, which has one without a name.
        graph_module: The graph of the one that torch would load; `None` where there are several.
        weights: Its weights and its constants.
        byte_order: That of the weights, `little` or `big`.
    """

    models: tuple[str, ...]
    graph_module: GraphModule | None = None
    weights: tuple[Weights, ...] = ()
    byte_order: str = "little"


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

    def weights(self, folder: str, kind: str, model: str, old: str) -> Weights:
        """The parameters and buffers, or the constants: each a member of the archive, or all of them in one pickle."""
        payloads, pickled = f"{folder}{model}_{kind}_config.json", f"{folder}{model}.pt" if model else old
        if payloads in self.members:
            return Weights(self.json(payloads, Payloads), self.regions(folder))
        if pickled in self.members:
            return Weights(pickled=region_of(self.file, self.members[pickled]))
        return Weights()


def read_program_archive(path: Path) -> ProgramContents:
    """Read a file of `torch.export.save`; the example inputs and the guards in it are not looked at.

    Args:
        path: The file.

    Raises:
        ValueError: The file is damaged, or of a version that bnlint does not know.
        RecursionError: Its JSON is nested deeper than that of any program.
    """
    try:
        with open_regular(path) as file, open_archive(file) as zipped:
            return _read(_Archive(file, zipped, stored_members(zipped)))
    except BAD_ZIP as error:  # msgspec's errors are ValueErrors as well
        raise BadArchiveError(bad_zip_words(error)) from error


def _read(archive: _Archive) -> ProgramContents:
    models = tuple(
        member.removeprefix(_MODELS).removesuffix(".json")
        for member in archive.members
        if member.startswith(_MODELS) and member.endswith(".json")
    )
    if "model" in models:  # the one that torch.export.load takes
        models = ("model",)
    if not models and _OLD_PROGRAM not in archive.members:
        raise BadArchiveError("it is an archive of torch.export without a program")
    if len(models) > 1:
        return ProgramContents(models)
    model = models[0] if models else ""
    program = archive.json(f"{_MODELS}{model}.json" if model else _OLD_PROGRAM, Program)
    weights = (
        archive.weights("data/weights/", "weights", model, "serialized_state_dict.pt"),
        archive.weights("data/constants/", "constants", model, "serialized_constants.pt"),
    )
    return ProgramContents(models, program.graph_module, weights, archive.byte_order())


def _check_version(text: bytes) -> None:
    major = msgspec.json.decode(text, type=VersionOnly).schema_version.major
    if major != SCHEMA:
        raise BadArchiveError(f"its graph is written in version {major} of torch's schema, and bnlint knows {SCHEMA}")
