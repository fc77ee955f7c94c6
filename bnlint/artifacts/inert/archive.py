"""Files of `torch.save` since torch 1.6, which are zip archives: opened without decompressing anything."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bnlint.artifacts.inert.inline import note_archive, note_inline
from bnlint.artifacts.inert.machine import LARGEST_PICKLE, BadPickleError, Names, Pickled, read_pickle
from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.zip_members import BAD_ZIP, Part, bad_zip_words, open_archive, region_of, stored_members
from bnlint.opening import open_regular


@dataclass(frozen=True)
class Opened:
    """A file whose pickle has been read as data.

    Attributes:
        pickled: What the pickle holds.
        regions: Where each storage lies, by its key.
        little_endian: The byte order of the storages.
    """

    pickled: Pickled
    regions: Mapping[str, Region]
    little_endian: bool


def open_zip(path: Path, part: Region | None = None, seen: Names | None = None) -> Opened:
    """Open a file that `torch.save` wrote as a zip archive (since torch 1.6).

    Args:
        path: The file.
        part: The part of it that is such an archive; all of it by default.
        seen: Gets the names in its pickle, of a damaged archive too.

    Returns:
        Its pickle as data, and where its storages lie in the file.

    Raises:
        BadPickleError: The archive or its pickle is damaged, or is nothing that `torch.save` writes.
    """
    seen = seen or Names()
    try:
        # A buffer would fetch 4 KiB or more for the 30 bytes before each storage.
        with open_regular(path, buffering=0) as whole:
            file: IO[bytes] = whole if part is None else io.BufferedReader(Part(whole, part))
            archive = open_archive(file)
            members = stored_members(archive)
            pickle = members.get("data.pkl")
            if pickle is None:
                raise BadPickleError("it has no `data.pkl`")
            if pickle.file_size > LARGEST_PICKLE:
                raise BadPickleError("its pickle is longer than any model needs")
            with archive.open(pickle) as stream:
                pickled = read_pickle(io.BytesIO(stream.read(LARGEST_PICKLE)), seen)
            note_inline(seen)
            order = members.get("byteorder")
            little = order is None or archive.read(order) != b"big"
            regions = {
                name.removeprefix("data/"): _shifted(region_of(file, member), part)
                for name, member in members.items()
                if name.startswith("data/")
            }
    except BAD_ZIP as error:
        _note(path, part, seen)
        if isinstance(error, BadPickleError):
            raise
        raise BadPickleError(bad_zip_words(error)) from error
    return Opened(pickled, regions, little)


def _shifted(region: Region, part: Region | None) -> Region:
    return region if part is None else Region(part.start + region.start, region.size)


def _note(path: Path, part: Region | None, seen: Names) -> None:
    with contextlib.suppress(OSError, ValueError), open_regular(path) as whole:
        note_archive(whole if part is None else io.BufferedReader(Part(whole, part)), seen)
