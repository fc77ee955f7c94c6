"""A time limit for code that may never come back."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_AGAIN = 0.1
"""Seconds after which the exception is raised once more, if the code is still running."""


class OutOfTime(BaseException):
    """The run took longer than it was given."""


def run_with_limit(seconds: float, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function, and raise `OutOfTime` in it if it takes too long.

    The exception arrives between two bytecodes, so a loop in Python ends, also outside the main thread; a single long
    call into C code does not. It is raised again and again, because it may arrive where Python drops it (in a
    `__del__`) or where the code catches everything. An import is left to end.

    Args:
        seconds: The limit.
        function: What to call.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Returns:
        What the function returns.

    Raises:
        OutOfTime: If it did not end in time.
    """
    striker = _Striker(seconds)
    hook = sys.unraisablehook
    sys.unraisablehook = _silent(hook)
    # One function and no context manager: Python looks for the exception at calls, and the call of an `__exit__` would
    # be outside every `try`. The first line of `finally` calls nothing, so it is always reached.
    try:
        striker.start()
        return function(*args, **kwargs)
    finally:
        striker.finished = True
        try:
            striker.end()
        except OutOfTime:  # one that had not arrived yet
            try:
                striker.end()
            except OutOfTime:  # and one that was on its way
                striker.end()
        sys.unraisablehook = hook


class _Striker(threading.Thread):
    """Raises the exception in the thread that made it, from the end of the time until it is told that all is over."""

    def __init__(self, seconds: float) -> None:
        super().__init__(daemon=True)
        self.finished = False
        self._seconds = seconds
        self._identity = threading.get_ident()
        self._struck = ctypes.c_ulong(self._identity)
        self._over = threading.Lock()  # a lock and no `Event`, which an exception in `set` could leave locked
        self._over.acquire()

    def run(self) -> None:
        pause = self._seconds
        while not self._over.acquire(timeout=pause) and not self.finished:
            pause = _AGAIN
            if not _is_importing(self._identity):
                ctypes.pythonapi.PyThreadState_SetAsyncExc(self._struck, ctypes.py_object(OutOfTime))

    def end(self) -> None:
        """No exception arrives after this. It can be called again if one arrives during it."""
        if self._over.locked() and self.is_alive():
            self._over.release()
        if self.ident is not None:
            self.join()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(self._struck, None)


def _is_importing(thread: int) -> bool:
    """Whether a thread is in an import, which would leave half a module to the whole process if it were cut off."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _silent(hook: Callable[[sys.UnraisableHookArgs], object]) -> Callable[[sys.UnraisableHookArgs], object]:
    """Python reports an exception that it has to drop, with a traceback; this one is no news."""

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, OutOfTime):
            hook(unraisable)

    return report
