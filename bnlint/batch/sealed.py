"""Answers on a pipe into which the code of a model may write as well: each is told from rubbish by a secret."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

SECRET_BYTES: Final = 32
"""Bytes of a secret, which the process that asks chooses for each process that answers."""

LONGEST: Final = 1 << 30
"""Bytes of an answer: a table of facts takes about ten thousand for each layer."""

_LENGTH_BYTES: Final = 8
_DIGEST_BYTES: Final = 16


class BrokenSealError(ValueError):
    """Something was written into the middle of an answer."""


def seal(message: bytes, secret: bytes) -> bytes:
    """A message as it goes through the pipe: the secret, the length, a digest, the message.

    Args:
        message: What to send.
        secret: The secret of this pipe.
    """
    return b"".join((secret, len(message).to_bytes(_LENGTH_BYTES, "little"), _digest(message, secret), message))


class Opener:
    """Finds the messages in what comes out of a pipe.

    Args:
        secret: The secret of this pipe.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._buffer = bytearray()

    def feed(self, part: bytes) -> Iterator[bytes]:
        """The messages that are complete with some more bytes; what is no message is left out.

        Args:
            part: The bytes.

        Raises:
            BrokenSealError: A message was damaged.
        """
        self._buffer += part
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> bytes | None:
        start = self._buffer.find(self._secret)
        if start < 0:  # the end of it may be the beginning of a secret
            del self._buffer[: -len(self._secret)]
            return None
        del self._buffer[:start]
        head = len(self._secret) + _LENGTH_BYTES + _DIGEST_BYTES
        if len(self._buffer) < head:
            return None
        size = int.from_bytes(self._buffer[len(self._secret) : head - _DIGEST_BYTES], "little")
        if size > LONGEST:
            raise BrokenSealError
        if len(self._buffer) < head + size:
            return None
        digest = bytes(self._buffer[head - _DIGEST_BYTES : head])
        message = bytes(self._buffer[head : head + size])
        if _digest(message, self._secret) != digest:
            raise BrokenSealError
        del self._buffer[: head + size]
        return message


def _digest(message: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(message, digest_size=_DIGEST_BYTES, key=secret).digest()
