"""A failure of the model's own code in one sentence, with its line."""

from __future__ import annotations

import traceback

from bnlint.tracing.copying.watch import LeadsBackError
from bnlint.tracing.source import is_internal, relative_path
from bnlint.tracing.watchdog import OutOfTime

_LONGEST_MESSAGE = 200


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
    text = " ".join(str(error).split())
    text = text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 1]}…"
    return f"the forward raised {type(error).__name__}{line and f' at {line}'}{text and f': {text}'}"


def where(error: BaseException | None) -> str:
    """The line of the user's code at which an error arose, such as `model.py:12`; empty if it arose elsewhere."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    inner = next((frame for frame in reversed(frames) if not is_internal(frame.filename)), None)
    return "" if inner is None else f"{relative_path(inner.filename)}:{inner.lineno}"
