"""Pickles inside a pickle: `pickle.dump` of a tensor leaves each storage as a file of `torch.save` in bytes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
from dataclasses import dataclass, field
from typing import IO

from bnlint.artifacts.inert.machine import BadPickleError, Names, read_pickle
from bnlint.artifacts.inert.values import Persistent, mapping
from bnlint.artifacts.zip_members import BAD_ZIP, open_archive, raw_pickles


@dataclass(frozen=True)
class Inline:
    """A storage in bytes.

    Attributes:
        key: A key for it: torch names storages by addresses in memory, which two of them can share.
        names: What the pickles in the bytes name and call, whatever they hold.
        storage: The persistent id that describes it; `None` where the bytes are no storage.
        start: Where in the bytes its values begin.
        little_endian: The byte order of the values.
    """

    key: str
    names: Names = field(default_factory=Names)
    storage: Persistent | None = None
    start: int = 0
    little_endian: bool = True


_COUNT_BYTES = 8
_MOST_KEPT = 1 << 14


@functools.lru_cache(_MOST_KEPT)
def read_inline(blob: bytes) -> Inline:
    """Read what `torch.save` wrote of one storage, in the form from before torch 1.6.

    Args:
        blob: The bytes.

    Returns:
        The storage; one of nothing, but with its names, where the bytes are damaged or hold anything else.
    """
    nothing = Inline(hashlib.blake2b(blob, digest_size=16).hexdigest())
    seen = nothing.names
    if blob.startswith(b"PK"):
        note_archive(io.BytesIO(blob), seen)
        return nothing
    stream = io.BytesIO(blob)
    try:
        read_pickle(stream, seen)  # the magic number
        read_pickle(stream, seen)  # the version of the form
        machine = mapping(read_pickle(stream, seen).value) or {}
        value = read_pickle(stream, seen).value
        read_pickle(stream, seen)  # the list of the keys, which has one entry
    except BadPickleError:
        return nothing
    if not isinstance(value, Persistent):
        return nothing
    start = stream.tell() + _COUNT_BYTES
    return Inline(nothing.key, seen, value, start, machine.get("little_endian") is not False)


def note_inline(seen: Names) -> None:
    """Note what the pickles call that stand in others as bytes, and those that stand in them in turn.

    Args:
        seen: The names in the pickles of a file, with those bytes; gets the names in them.
    """
    for blob in seen.inline:  # which grows meanwhile
        inner = read_inline(blob).names
        seen.named.update(inner.named)
        seen.called.update(inner.called)
        seen.inline += inner.inline


def note_archive(file: IO[bytes], seen: Names) -> None:
    """Note what the pickles in a zip archive call, as far as they can be read: torch itself forgives more than bnlint.

    Args:
        file: The archive.
        seen: Gets the names.
    """
    with contextlib.suppress(*BAD_ZIP), open_archive(file) as archive:
        for data in raw_pickles(file, archive):
            with contextlib.suppress(BadPickleError):
                read_pickle(io.BytesIO(data), seen)
