"""Signals that ask the program to end: its processes end, temporary files go, and the exit code says which it was."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))
"""Those that end a process unless it says otherwise, and that people, terminals and schedulers send."""

PATIENCE: Final = 0.7
"""Seconds to end in good order."""


class Terminated(BaseException):
    """A signal asked the program to end.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Ending:
    """What is known of the end of the program.

    Attributes:
        by: What ended it; `None` where no signal did.
    """

    def __init__(self) -> None:
        self.by: Terminated | None = None

    def begin(self, number: int, _frame: FrameType | None) -> None:
        """Raise `Terminated` in the main thread, and see to it that the program ends even where that gets lost."""
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        self.by = Terminated(number)
        timer = threading.Timer(PATIENCE, os._exit, (self.by.exit_code,))
        timer.daemon = True
        timer.start()
        raise self.by


@contextlib.contextmanager
def ended_by_signals() -> Iterator[Ending]:
    """Handle the signals while the block runs; one that is ignored, as under `nohup`, stays so.

    Yields:
        What is known of the end.
    """
    ending = Ending()
    if threading.current_thread() is not threading.main_thread():  # where nobody may handle signals
        yield ending
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, ending.begin)
    try:
        yield ending
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_IGN if ending.by else signal.SIG_DFL)
