"""stdout is the report and nothing else; everything else goes to stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator


def write(text: str) -> None:
    """Write a part of the report to stdout; a reader that has gone, such as `head`, is no error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still gets the report
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it ends, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """Write a sentence to stderr."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"{text}\n")


@contextlib.contextmanager
def stdout_is_for_the_report() -> Iterator[None]:
    """Send to stderr what a model's own code prints meanwhile."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
