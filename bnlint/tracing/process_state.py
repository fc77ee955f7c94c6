"""What a run of the user's code must leave as it was: the state of the process."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from bnlint.tracing.state import of_numpy, of_python, of_torch
from bnlint.tracing.state.entry import Entry

ENTRIES = (*of_python.ENTRIES, *of_numpy.ENTRIES, *of_torch.ENTRIES)
"""All that is put back. Files, threads, and what has been taken out of an iterator are not the process's own."""


_SETTINGS = tuple(entry for entry in ENTRIES if not entry.is_random)


def state_kept() -> AbstractContextManager[None]:
    """Whatever the block does, also where it raises, each of the `ENTRIES` is as before."""
    return _kept(ENTRIES)


def settings_kept() -> AbstractContextManager[None]:
    """The same without random states: the next run draws other numbers, as it would without bnlint."""
    return _kept(_SETTINGS)


@contextlib.contextmanager
def _kept(entries: Sequence[Entry]) -> Iterator[None]:
    before = [(entry, entry.read()) for entry in entries]
    try:
        yield
    finally:
        for entry, value in reversed(before):
            with contextlib.suppress(Exception):  # the others are put back all the same
                if entry.changed(value, entry.read()):
                    entry.put_back(value)


@contextlib.contextmanager
def process_state_kept() -> Iterator[None]:
    """The same for a run of a model, of which nothing reaches standard output.

    Code that asks for a line from the keyboard meets the end of the file: no time limit ends such a wait.
    """
    with state_kept(), contextlib.redirect_stdout(sys.stderr):
        sys.stdin = io.StringIO()
        yield
