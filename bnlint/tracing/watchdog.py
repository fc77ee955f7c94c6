"""A time limit for code that may never come back."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator


class OutOfTime(BaseException):
    """The run took longer than it was given."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in this thread if the block takes too long.

    The exception arrives between two bytecodes, so a loop in Python ends, also outside the main thread; a single long
    call into C code does not.

    Args:
        seconds: The limit.
    """
    thread = threading.get_ident()
    lock = threading.Lock()
    finished = False

    def strike() -> None:
        with lock:
            if not finished:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(OutOfTime))

    timer = threading.Timer(seconds, strike)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            finished = True
        timer.cancel()
