"""How many bytes of files a call reads, as the kernel of Linux counts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final
from unittest import mock

import msgspec

from bnlint.artifacts.inert.child import Request, answer_of, reader_of

COUNTER: Final = Path("/proc/thread-self/io")
"""Where Linux counts what a thread reads; other systems have no such file."""


def bytes_read(call: Callable[[], object]) -> int:
    """Bytes that a call reads; what a child process would read for it is read in this one, and counted.

    The call is made once before, so that the modules that it imports are not counted.
    """
    with mock.patch("bnlint.artifacts.inert.reader.ask", _answer_here):
        call()
        before = _count()
        call()
        return _count() - before - _cost_of_counting()


def _answer_here(request: bytes, *_limits: object) -> bytes:
    asked = msgspec.msgpack.decode(request, type=Request)
    return msgspec.msgpack.encode(answer_of(reader_of(asked.form), asked))


def _count() -> int:
    return next(int(line.split()[1]) for line in COUNTER.read_text().splitlines() if line.startswith("rchar:"))


def _cost_of_counting() -> int:
    before = _count()
    return _count() - before
