"""Archives of `torch.package` as data: the pickles in them, with the storages beside them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from bnlint.artifacts.inert.archive import Opened
from bnlint.artifacts.inert.contents import MOST_ENTRIES, Contents, contents
from bnlint.artifacts.inert.inline import note_inline
from bnlint.artifacts.inert.machine import LARGEST_PICKLE, BadPickleError, Names, Pickled, read_pickle
from bnlint.artifacts.zip_members import BAD_ZIP, bad_zip_words, open_archive, region_of, stored_members
from bnlint.opening import open_regular

_STORAGES: Final = ".data/"
_SUFFIX: Final = ".storage"


def read_package(path: Path, seen: Names) -> Contents:
    """Read a file of `torch.package.PackageExporter`; the Python code in it is not looked at.

    Args:
        path: The file.
        seen: Gets the names in its pickles.

    Returns:
        The models and the sets of weights of all pickles in it; where there are several pickles, the name of each comes
        before its keys.

    Raises:
        BadPickleError: The archive or a pickle in it is damaged.
    """
    try:
        with open_regular(path) as file, open_archive(file) as archive:
            members = stored_members(archive)
            order = members.get("byteorder")
            little = order is None or archive.read(order) != b"big"
            regions = {
                name.removeprefix(_STORAGES).removesuffix(_SUFFIX): region_of(file, member)
                for name, member in members.items()
                if name.startswith(_STORAGES) and name.endswith(_SUFFIX)
            }
            found = {
                name: contents(Opened(pickled, regions, little)) for name, pickled in _pickles(archive, members, seen)
            }
    except BAD_ZIP as error:
        if isinstance(error, BadPickleError):
            raise
        raise BadPickleError(bad_zip_words(error)) from error
    return _together(found)


def _pickles(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], seen: Names
) -> Iterator[tuple[str, Pickled]]:
    """The pickles, told by their first bytes: a package gives its resources any name."""
    left = LARGEST_PICKLE
    for name, member in members.items():
        if name.startswith(_STORAGES) or name.endswith(".py"):
            continue
        with archive.open(member) as stream:
            head = stream.read(2)
            if head[:1] != b"\x80" or head[1:] not in {b"\x02", b"\x03", b"\x04", b"\x05"}:
                continue
            left -= member.file_size
            if left < 0:
                raise BadPickleError("its pickles are longer than any model needs")
            pickled = read_pickle(io.BytesIO(head + stream.read(LARGEST_PICKLE)), seen)
            note_inline(seen)
            yield name, pickled


def _together(found: dict[str, Contents]) -> Contents:
    if not found:
        return Contents((), {}, True, (), (), "Python code and no pickle")
    if len(found) == 1:
        return next(iter(found.values()))
    entries = [
        msgspec.structs.replace(entry, keys=(name, *entry.keys))
        for name, content in found.items()
        for entry in content.entries
    ]
    first = next(iter(found.values()))
    return msgspec.structs.replace(
        first,
        entries=tuple(entries[:MOST_ENTRIES]),
        named=tuple(dict.fromkeys(item for content in found.values() for item in content.named)),
        called=tuple(dict.fromkeys(item for content in found.values() for item in content.called)),
        holds=f"{len(found)} pickles without a tensor",
    )
