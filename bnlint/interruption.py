"""Tells the user's Ctrl-C from an exception of the same kind that code of a model raises by itself."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class OutOfTime(BaseException):
    """The run took longer than it was given."""


class _Watch:
    """Notices a signal of the user's on its way to whoever handles it.

    Attributes:
        rang: Whether one has come.
    """

    def __init__(self) -> None:
        self.rang = False
        self._handlers: dict[int, Any] = {}

    def start(self) -> None:
        """Stand before the handlers that Python calls; no signal raises anything where there is none."""
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._ring)

    def stop(self) -> None:
        """Step aside, unless another has stepped in front."""
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._ring:
                signal.signal(number, handler)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        self.rang = True
        self._handlers[number](number, frame)


_watches: Final[list[_Watch]] = []


@contextlib.contextmanager
def interruptions_watched() -> Iterator[None]:
    """A block in which `is_interruption` knows. In other threads than the main one nobody can interrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _Watch()
    _watches.append(watch)
    try:
        watch.start()
        yield
    finally:
        watch.stop()
        _watches.remove(watch)


def is_interruption(error: BaseException) -> bool:
    """Whether the user has interrupted the program, rather than code of a model raised the like of it.

    Args:
        error: What was caught. Of an `Exception` it is never so: whoever handles a signal by one lets it be caught.
    """
    if isinstance(error, (Exception, OutOfTime)) or threading.current_thread() is not threading.main_thread():
        return False
    return any(watch.rang for watch in _watches) if _watches else isinstance(error, KeyboardInterrupt)


def pass_on(error: BaseException) -> None:
    """Raise again what is not to be held back: the user's interruption.

    Args:
        error: What code of a model was seen to raise.
    """
    if is_interruption(error):
        raise error
