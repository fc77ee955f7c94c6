"""Storages inside a plain pickle: `pickle.dump` of a tensor leaves each of them as a file of `torch.save` in bytes."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from bnlint.artifacts.inert.machine import BadPickleError, read_pickle
from bnlint.artifacts.inert.values import Persistent, mapping


@dataclass(frozen=True)
class Inline:
    """A storage in bytes.

    Attributes:
        storage: The persistent id that describes it; `None` where the bytes are no storage.
        start: Where in the bytes its values begin.
        little_endian: The byte order of the values.
    """

    storage: Persistent | None
    start: int
    little_endian: bool


_NONE = Inline(None, 0, True)
_COUNT_BYTES = 8


def read_inline(blob: bytes) -> Inline:
    """Read what `torch.save` wrote of one storage, in the form from before torch 1.6.

    Args:
        blob: The bytes.

    Returns:
        The storage; one of nothing where the bytes are damaged or hold anything else.
    """
    stream = io.BytesIO(blob)
    try:
        read_pickle(stream)  # the magic number
        read_pickle(stream)  # the version of the form
        machine = mapping(read_pickle(stream).value) or {}
        value = read_pickle(stream).value
        read_pickle(stream)  # the list of the keys, which has one entry
    except BadPickleError:
        return _NONE
    if not isinstance(value, Persistent):
        return _NONE
    return Inline(value, stream.tell() + _COUNT_BYTES, machine.get("little_endian") is not False)


def inline_key(blob: bytes) -> str:
    """A key for a storage in bytes: torch names them by addresses in memory, which two of them can share."""
    return hashlib.blake2b(blob, digest_size=16).hexdigest()
