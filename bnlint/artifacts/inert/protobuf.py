"""Protocol Buffers on the wire: where the fields of a message lie, without reading what is in them.

Source of the encoding: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

_LONGEST_VARINT: Final = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class BadMessageError(ValueError):
    """Bytes that are no message."""


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: Its number in the definition of the message.
        is_bytes: Whether it is a text, bytes or a message, and not a number.
        start: Where it begins in the file, its key included.
        content: Where its content begins.
        end: Where it ends; beyond the end of the message where that was cut short.
        value: The value of a varint, and 0 for any other.
    """

    number: int
    is_bytes: bool
    start: int
    content: int
    end: int
    value: int


def fields(file: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """The fields of a message, in the order of the file.

    Args:
        file: An open file, whose position changes.
        start: Where the message begins.
        end: Where it ends.

    Raises:
        BadMessageError: The bytes are no message.
    """
    place = start
    while place < end:
        key, content = _varint(file, place)
        number, wire = key >> 3, key & 7
        value = 0
        if not number:
            raise BadMessageError("a field has no number")
        if wire == _VARINT:
            value, after = _varint(file, content)
        elif wire == _BYTES:
            length, content = _varint(file, content)
            after = content + length
        elif wire in (_FIXED64, _FIXED32):
            after = content + (8 if wire == _FIXED64 else 4)
        else:
            raise BadMessageError(f"a field is of the unknown type {wire}")
        yield Field(number, wire == _BYTES, place, content, after, value)
        place = after


def _varint(file: BinaryIO, place: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    file.seek(place)
    value = 0
    for index, byte in enumerate(file.read(_LONGEST_VARINT)):
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, place + index + 1
    raise BadMessageError("a number does not end")
