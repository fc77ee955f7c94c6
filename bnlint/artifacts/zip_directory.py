"""The list of contents of a zip archive: where it lies, how long it is, and the names in it; no more is read.

Layout: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3.12 to 4.3.16.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import IO, Final

LARGEST_DIRECTORY: Final = 1 << 24
"""Bytes of a list of contents. Each tensor of a model takes about 70; the largest published models have some ten
thousand in a file. Python's own reader would take forty times as much memory."""

_END: Final = struct.Struct("<4s8xIIH")
_END_64_PLACE: Final = struct.Struct("<4s16x")
_END_64: Final = struct.Struct("<4s36xQQ")
_ENTRY: Final = struct.Struct("<4s24xHHH8xI")
_LONGEST_COMMENT: Final = (1 << 16) - 1


class BadDirectoryError(ValueError):
    """An archive without a sound list of contents."""


class LongDirectoryError(BadDirectoryError):
    """A list of contents that is longer than that of any model."""

    def __init__(self) -> None:
        super().__init__("its list of contents is longer than that of any model")


@dataclass(frozen=True)
class Directory:
    """A list of contents.

    Attributes:
        start: Its first byte in the file.
        size: Its length, in bytes.
        before: How many bytes lie before the archive in the file; the list counts from behind them.
    """

    start: int
    size: int
    before: int


def find_directory(file: IO[bytes]) -> Directory:
    """Find the list of contents.

    Args:
        file: A seekable file; its position changes.

    Raises:
        BadDirectoryError: There is none.
        LongDirectoryError: It is longer than `LARGEST_DIRECTORY`.
    """
    end, (_, size, offset, _) = _find_end(file)
    if end >= _END_64_PLACE.size + _END_64.size:
        file.seek(end - _END_64_PLACE.size - _END_64.size)
        tail = file.read(_END_64.size + _END_64_PLACE.size)
        # A large archive says the same in larger numbers.
        if tail.startswith(b"PK\x06\x06") and tail[_END_64.size :].startswith(b"PK\x06\x07"):
            end -= len(tail)
            _, size, offset = _END_64.unpack_from(tail)
    start = end - size
    if start < 0 or start < offset:
        raise BadDirectoryError("its list of contents is missing")
    if size > LARGEST_DIRECTORY:
        raise LongDirectoryError
    return Directory(start, size, start - offset)


def _find_end(file: IO[bytes]) -> tuple[int, tuple[bytes, int, int, int]]:
    """Where the last record begins, which a comment may follow, and what it says."""
    length = file.seek(0, os.SEEK_END)
    for most in (_END.size, _END.size + _LONGEST_COMMENT):
        start = max(length - most, 0)
        file.seek(start)
        tail = file.read(most)
        place = tail.rfind(b"PK\x05\x06")
        if 0 <= place <= len(tail) - _END.size:
            return start + place, _END.unpack_from(tail, place)
    raise BadDirectoryError("its list of contents is missing")


def member_names(file: IO[bytes]) -> tuple[list[str], bool]:
    """The names of the members of an archive.

    Args:
        file: A seekable file; its position changes.

    Returns:
        The names in the order of the list, and whether a member lies at the very beginning of the file.

    Raises:
        BadDirectoryError: As for `find_directory`, or the list is damaged.
    """
    directory = find_directory(file)
    file.seek(directory.start)
    data = file.read(directory.size)
    names, at_start, place = [], False, 0
    while place < len(data):
        if len(data) - place < _ENTRY.size:
            raise BadDirectoryError("its list of contents is cut short")
        magic, name, extra, comment, offset = _ENTRY.unpack_from(data, place)
        if magic != b"PK\x01\x02":
            raise BadDirectoryError("its list of contents is damaged")
        at_start = at_start or offset + directory.before == 0
        place += _ENTRY.size
        names.append(data[place : place + name].decode("utf-8", "replace"))
        place += name + extra + comment
    return names, at_start
