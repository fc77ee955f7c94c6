"""Where the user's own code runs: its modules are found, and what it prints stays out of the report."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from bnlint.text import text_of


@contextlib.contextmanager
def user_code() -> Iterator[None]:
    """Run a block that imports, builds or unpickles what the user names.

    The current folder is added to the end of `sys.path` and stays there, since a model may import more when it runs.
    At the end, so that a `timeit.py` in it does not stand in for an installed module. What the code prints goes to
    standard error: standard output is the report.
    """
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    with contextlib.redirect_stdout(sys.stderr):
        yield


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, without its full stop; the class where there is no message."""
    lines = text_of(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


def described(error: BaseException) -> str:
    """An exception in a clause: its class, and the first line of its message."""
    return f"{type(error).__name__}: {first_line(error)}"
