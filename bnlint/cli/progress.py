"""A progress bar on stderr for work that takes more than two seconds."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE: Final = 2.0
"""Seconds without a bar."""
STAGES: Final = ("reading", "tracing", "running", "data", "facts", "rules")


@contextlib.contextmanager
def progress_bar(stages: Sequence[str] = STAGES) -> Iterator[Callable[[str], None]]:
    """Show a bar while the block runs, if it runs long and stderr is a terminal; the bar then leaves no trace.

    Args:
        stages: Names of the stages, in their order.

    Yields:
        A function to call with the name of each stage as it begins.
    """
    bar = _Bar(stages[0], len(stages))

    def begin(stage: str) -> None:
        known = stage.partition(",")[0]  # what follows a comma is a detail, such as the number of a batch
        bar.update(stage, stages.index(known) if known in stages else 0)

    with _shown_if_long(bar):
        yield begin


class CountBar:
    """Shows how many of a number of targets are done.

    Args:
        bar: The bar.
        total: How many there are.
    """

    def __init__(self, bar: _Bar, total: int) -> None:
        self._bar = bar
        self._total = total
        self._done = 0

    def count(self, name: str) -> None:
        """Count one more target as done.

        Args:
            name: What it is called.
        """
        from bnlint.text import printable

        self._done += 1
        self._bar.update(f"{self._done} of {self._total}, {printable(name)}", self._done)

    def hidden(self) -> contextlib.AbstractContextManager[None]:
        """Take the bar away while the block writes to what may be the same terminal."""
        return self._bar.hidden()


@contextlib.contextmanager
def count_bar(total: int) -> Iterator[CountBar]:
    """Show a bar that counts targets, likewise.

    Args:
        total: How many there are.
    """
    bar = _Bar(f"0 of {total}", total)
    with _shown_if_long(bar):
        yield CountBar(bar, total)


@contextlib.contextmanager
def _shown_if_long(bar: _Bar) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(PATIENCE, bar.show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        bar.close()


class _Bar:
    """A bar that another thread may show at any moment until it is closed."""

    def __init__(self, first: str, total: int) -> None:
        self._lock = threading.Lock()
        self._text = first
        self._total = total
        self._done = 0
        self._progress: Progress | None = None
        self._closed = False

    def update(self, text: str, done: int) -> None:
        with self._lock:
            self._text, self._done = text, done
            self._update()

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        with self._lock:
            if self._progress is not None:
                self._progress.stop()
            try:
                yield
            finally:
                if self._progress is not None:
                    self._progress.start()

    def show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        with self._lock:
            if self._closed:
                return
            self._progress = Progress(
                TextColumn("bnlint: {task.description}", markup=False),
                BarColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._progress.add_task("", total=self._total)
            self._update()
            self._progress.start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._progress is not None:
                self._progress.stop()

    def _update(self) -> None:
        if self._progress is not None:
            task = self._progress.task_ids[0]
            self._progress.update(task, description=self._text, completed=self._done)
