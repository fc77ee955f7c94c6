"""Members of zip archives as torch writes them: stored, not compressed, each name once."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, Final

from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.sniff import inner_name
from bnlint.artifacts.zip_directory import find_directory
from bnlint.opening import reason

BAD_ZIP: Final = (
    zipfile.BadZipFile,
    NotImplementedError,
    OSError,
    ValueError,
    OverflowError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
)
"""What `zipfile` raises on a damaged archive."""

LARGEST_RAW: Final = 1 << 24
"""Bytes of a pickle that are looked at only for what it would call."""

_LOCAL_HEADER: Final = struct.Struct("<4s5HIIIHH")


class Part(io.RawIOBase):
    """A part of an open file as a file of its own, for an archive that lies in another.

    Args:
        file: The whole file, whose position changes.
        region: The part.
    """

    def __init__(self, file: IO[bytes], region: Region) -> None:
        super().__init__()
        self._file = file
        self._region = region
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position that is counted from the start of the part."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._region.size}[whence]
        if base + offset < 0:
            raise BadArchiveError("it refers to what lies before its beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, at most to the end of the part."""
        left = max(self._region.size - self._position, 0)
        self._file.seek(self._region.start + self._position)
        data = self._file.read(min(len(buffer), left))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class BadArchiveError(ValueError):
    """An archive that torch did not write, or that is damaged."""


def open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """Open an archive, whose list of contents is read as a whole; for the process that reads untrusted files.

    Args:
        file: A seekable file.

    Raises:
        BadDirectoryError: The list is missing, or longer than that of any model.
        Exception: One of `BAD_ZIP`.
    """
    find_directory(file)
    return zipfile.ZipFile(file)


def bad_zip_words(error: BaseException) -> str:
    """What is wrong with an archive, in words.

    Args:
        error: One of `BAD_ZIP`.
    """
    return reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__


def stored_members(archive: zipfile.ZipFile, compressed: tuple[str, ...] = ()) -> dict[str, zipfile.ZipInfo]:
    """The members of an archive; one that readers could take in two ways is refused.

    Args:
        archive: The open archive.
        compressed: What the names of members begin with that may be compressed; by default none may be.

    Returns:
        The members by their name without the top folder.

    Raises:
        BadArchiveError: Two members have one name, or a member is compressed or encrypted.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = inner_name(member.filename)
        if name in members:
            raise BadArchiveError(f"it has two members `{name}`")
        packed = member.compress_type == zipfile.ZIP_DEFLATED and name.startswith(compressed)
        if (member.compress_type != zipfile.ZIP_STORED and not packed) or member.flag_bits & 1:
            raise BadArchiveError("its members are compressed or encrypted, which torch never does")
        members[name] = member
    return members


def region_of(file: IO[bytes], member: zipfile.ZipInfo) -> Region:
    """Where the bytes of a stored member lie: behind its local header, whose length only that header tells.

    Args:
        file: The archive; its position changes.
        member: The member.

    Raises:
        BadArchiveError: The member lies outside the file.
    """
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
        raise BadArchiveError(f"the member `{member.filename}` lies outside the file")
    fields = _LOCAL_HEADER.unpack(header)
    return Region(member.header_offset + _LOCAL_HEADER.size + fields[-2] + fields[-1], member.file_size)


def raw_pickles(file: IO[bytes], archive: zipfile.ZipFile) -> Iterator[bytes]:
    """The pickles in an archive, whatever their checksums, flags and the names before them say, which torch ignores.

    Args:
        file: The archive; its position changes.
        archive: The same, opened.
    """
    for member in archive.infolist():
        if not member.filename.endswith(".pkl"):
            continue
        with contextlib.suppress(BadArchiveError, zlib.error):
            region = region_of(file, member)
            file.seek(region.start)
            data = file.read(min(member.compress_size, LARGEST_RAW))
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            yield inflate.decompress(data, LARGEST_RAW) if member.compress_type == zipfile.ZIP_DEFLATED else data
