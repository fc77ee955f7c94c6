"""A failure of the model's own code in one sentence, with its line."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from pathlib import Path

import numpy

from bnlint.interruption import OutOfTime
from bnlint.text import text_of
from bnlint.tracing.copying.watch import LeadsBackError
from bnlint.tracing.source import is_internal, relative_path

_LONGEST_MESSAGE = 200
_OWN = f"{Path(__file__).parent.parent}{os.sep}"
_LIBRARIES = f"{sysconfig.get_paths()['stdlib']}{os.sep}"
_NUMPY = f"{Path(numpy.__file__).parent}{os.sep}"
_INSTALLED = re.compile(r"[/\\](site|dist)-packages[/\\]")


def describe(error: BaseException | None) -> str:
    """What went wrong, for the report.

    Args:
        error: What the model's code raised.

    Returns:
        A clause without a full stop, with the class of the error, the user's line and the message, cut if long.
    """
    if isinstance(error, OutOfTime):
        return "the forward did not end in the time that it was given (`--timeout`)"
    line = where(error)
    if isinstance(error, LeadsBackError):
        return f"{error}{line and f' at {line}'}"
    text = " ".join(text_of(error).split())
    text = text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 1]}…"
    return f"the forward raised {type(error).__name__}{line and f' at {line}'}{text and f': {text}'}"


def is_of_the_model(error: BaseException) -> bool:
    """Whether code of the model has raised an exception, rather than code of bnlint.

    Args:
        error: What was raised; the innermost code counts that is neither Python's own nor torch's nor numpy's.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(_OWN):
            return False
        of_a_library = frame.filename.startswith(_LIBRARIES) and not _INSTALLED.search(frame.filename)
        if not (of_a_library or is_internal(frame.filename) or frame.filename.startswith(_NUMPY)):
            return True
    return False


def where(error: BaseException | None) -> str:
    """The line of the user's code at which an error arose, such as `model.py:12`; empty if it arose elsewhere."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    inner = next((frame for frame in reversed(frames) if not is_internal(frame.filename)), None)
    return "" if inner is None else f"{relative_path(inner.filename)}:{inner.lineno}"
