"""Where the user's own code runs: what it prints stays out of the report."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from bnlint.text import text_of


@contextlib.contextmanager
def user_code() -> Iterator[None]:
    """Run a block that imports, builds or unpickles what the user names.

    What the code prints goes to standard error: standard output is the report. Where its modules are found is the
    matter of `current_folder`.
    """
    with contextlib.redirect_stdout(sys.stderr):
        yield


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, without its full stop; the class where there is no message."""
    lines = text_of(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


def described(error: BaseException) -> str:
    """An exception in a clause: its class, and the first line of its message."""
    return f"{type(error).__name__}: {first_line(error)}"
