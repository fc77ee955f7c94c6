"""Messages between processes, through a pipe: eight bytes that say how long each is, then the message."""

from __future__ import annotations

from typing import Final, Protocol

LONGEST: Final = 1 << 30
"""Bytes of a message, as many as the process that reads an untrusted file may take for everything."""

READY: Final = b"+"
"""What a process that reads untrusted files writes once it has started, before it takes a request."""

_LENGTH_BYTES: Final = 8
_AT_ONCE: Final = 1 << 20


class Source(Protocol):
    """The end of a pipe to read from; without a buffer, for its lock would stay locked in a process that forks."""

    def read(self, size: int, /) -> bytes | None:
        """Up to so many bytes, at least one; none at the end."""


class Sink(Protocol):
    """The end of a pipe to write to; without a buffer."""

    def write(self, data: bytes | memoryview, /) -> int | None:
        """Write, and tell how many bytes of it."""


def write_frame(pipe: Sink, message: bytes) -> None:
    """Send a message.

    Args:
        pipe: Where to.
        message: What to send.

    Raises:
        OSError: Nobody reads it.
    """
    left = memoryview(len(message).to_bytes(_LENGTH_BYTES, "little") + message)
    while left:
        left = left[pipe.write(left) or 0 :]


def read_frame(pipe: Source) -> bytes | None:
    """Wait for a message.

    Args:
        pipe: Where from.

    Returns:
        The message; `None` where the sender ended before one, or in the middle of it.

    Raises:
        OSError: The pipe cannot be read.
    """
    head = _read(pipe, _LENGTH_BYTES)
    length = int.from_bytes(head, "little")
    if len(head) < _LENGTH_BYTES or length > LONGEST:
        return None
    message = _read(pipe, length)
    return message if len(message) == length else None


def _read(pipe: Source, size: int) -> bytes:
    found = bytearray()
    while len(found) < size and (part := pipe.read(min(size - len(found), _AT_ONCE))):
        found += part
    return bytes(found)
