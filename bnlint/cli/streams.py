"""stdout is the report and nothing else; everything else goes to stderr."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator

from bnlint.errors import BnlintError


class ReportLostError(BnlintError):
    """The report cannot be written where it belongs, which is no verdict on the model."""


def stand_in_for_closed_streams() -> None:
    """Open what whoever started this process has closed, so that no file that is opened later takes its number.

    What is written to stdout then fails, as it should: there is no place for a report.
    """
    for descriptor, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (for as long as the process)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def write(text: str) -> None:
    """Write a part of the report to stdout; a reader that has gone, such as `head`, is no error.

    Raises:
        ReportLostError: It cannot be written: the disk is full, or stdout is closed.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still gets the report
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _write_no_more()
    except OSError as error:
        _write_no_more()
        raise _lost(error) from error


def complain(text: str) -> None:
    """Write a sentence to stderr, where there is one that takes it."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        _redirect_to_nothing(2)


@contextlib.contextmanager
def stdout_is_for_the_report() -> Iterator[None]:
    """Send to stderr what is printed meanwhile; code of models runs in another process."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _lost(error: OSError) -> ReportLostError:
    closed = error.errno == errno.EBADF
    reason = "standard output is closed" if closed else error.strerror or type(error).__name__
    return ReportLostError(f"The report cannot be written: {reason}.")


def _write_no_more() -> None:
    """The interpreter flushes stdout once more when it ends, and would complain then."""
    _redirect_to_nothing(1)


def _redirect_to_nothing(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)
