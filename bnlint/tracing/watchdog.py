"""A time limit for code that may never come back."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from bnlint.interruption import OutOfTime

T = TypeVar("T")

_AGAIN = 0.1
"""Seconds after which the exception is raised once more, if the code is still running."""


def run_with_limit(seconds: float, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function, and raise `OutOfTime` in it if it takes too long.

    A timer signal interrupts it between two bytecodes, so a loop in Python and a wait end; a single long computation in
    C does not. The exception is raised again and again, because it may arrive where Python drops it (in a `__del__`)
    or where the code catches everything. An import is left to end, rather than leave half a module to the process.
    Signals reach the main thread only: in other threads, and on systems without
    timer signals, the limit is that of the recorder, which looks at the clock at every call of torch.

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
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        return function(*args, **kwargs)
    alarm = _Alarm(seconds)
    try:
        alarm.start()
        try:
            return function(*args, **kwargs)
        finally:
            alarm.ringing = False
    finally:
        alarm.stop()


class _Alarm:
    """The process's one timer, borrowed: what was set before is set again afterwards, less the time that has passed."""

    def __init__(self, seconds: float) -> None:
        self.ringing = True
        self._seconds = seconds
        self._handler = signal.getsignal(signal.SIGALRM)
        self._before = (0.0, 0.0)
        self._began = time.monotonic()
        self._report = sys.unraisablehook

    def start(self) -> None:
        """Set the timer."""
        sys.unraisablehook = self._report_others
        signal.signal(signal.SIGALRM, self._ring)
        self._before = signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN)

    def stop(self) -> None:
        """Give the timer back."""
        self.ringing = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._handler)
        sys.unraisablehook = self._report
        left, interval = self._before
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, left - (time.monotonic() - self._began)), interval)

    def _ring(self, _number: int, frame: FrameType | None) -> None:
        if self.ringing and not _is_importing(frame):
            raise OutOfTime

    def _report_others(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Python reports an exception that it has to drop, with a traceback; this one is no news."""
        if not issubclass(unraisable.exc_type, OutOfTime):
            self._report(unraisable)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not run_with_limit.__code__:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
