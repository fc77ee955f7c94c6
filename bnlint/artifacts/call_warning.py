"""What is said of a file that holds calls and cannot be analysed: first of all, what loading it would call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Final

from bnlint.artifacts.powerful import Danger, danger_of
from bnlint.errors import BnlintError

_MOST_NAMED: Final = 3
"""Calls that a sentence names; `bnlint inspect` lists them all."""


def unusual_calls(called: Iterable[str]) -> list[str]:
    """The calls that no saved model needs, the most dangerous first, then in the order of the file.

    Args:
        called: Dotted names of what loading a file would call.
    """
    return sorted((name for name in called if danger_of(name) < Danger.USUAL), key=danger_of)


@contextlib.contextmanager
def warning_of_calls(name: str, called: Iterable[str], *, keep_hint: bool = False) -> Iterator[None]:
    """Have every error in a block say first what loading the file would call, if that is nothing usual.

    Args:
        name: What the user called the file.
        called: Dotted names of what loading it would call.
        keep_hint: Whether the hint of the error helps to look at the file as data; any other would make it read as
            harmless.

    Raises:
        BnlintError: What was raised, of the same class.
    """
    try:
        yield
    except BnlintError as error:
        calls = unusual_calls(called)
        if not calls:
            raise
        worst = danger_of(calls[0])
        warning = "Load it only if you know who made it." if worst is Danger.UNKNOWN else "Do not load it."
        hint = error.hint if keep_hint or worst is Danger.UNKNOWN else ""
        raise type(error)(
            f"Loading `{name}` would call {_listed(calls)}; {error.cause}", f"{hint} {warning}".strip()
        ) from error


def _listed(calls: list[str]) -> str:
    named = [f"`{call}`" for call in calls[:_MOST_NAMED]]
    if len(calls) > _MOST_NAMED:
        return f"{', '.join(named)} and {len(calls) - _MOST_NAMED} more"
    return " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
