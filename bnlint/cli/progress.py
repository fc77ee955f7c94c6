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
STAGES: Final = ("reading", "tracing", "facts", "rules")


@contextlib.contextmanager
def progress_bar(stages: Sequence[str] = STAGES) -> Iterator[Callable[[str], None]]:
    """Show a bar while the block runs, if it runs long and stderr is a terminal; the bar then leaves no trace.

    Args:
        stages: Names of the stages, in their order.

    Yields:
        A function to call with the name of each stage as it begins.
    """
    bar = _Bar(stages)
    if not sys.stderr.isatty():
        yield bar.begin
        return
    timer = threading.Timer(PATIENCE, bar.show)
    timer.daemon = True
    timer.start()
    try:
        yield bar.begin
    finally:
        timer.cancel()
        bar.close()


class _Bar:
    """A bar that another thread may show at any moment until it is closed."""

    def __init__(self, stages: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._stages = stages
        self._stage = stages[0]
        self._progress: Progress | None = None
        self._closed = False

    def begin(self, stage: str) -> None:
        with self._lock:
            self._stage = stage
            self._update()

    def show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        with self._lock:
            if self._closed:
                return
            self._progress = Progress(
                TextColumn("bnlint: {task.description}"),
                BarColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._progress.add_task(self._stage, total=len(self._stages))
            self._update()
            self._progress.start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._progress is not None:
                self._progress.stop()

    def _update(self) -> None:
        if self._progress is not None:
            done = self._stages.index(self._stage) if self._stage in self._stages else 0
            self._progress.update(self._progress.task_ids[0], description=self._stage, completed=done)
