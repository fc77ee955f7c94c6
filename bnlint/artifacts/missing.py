"""A file that is not there: wrong usage, wherever its name was given."""

from __future__ import annotations

from pathlib import Path

from bnlint.errors import UsageError


def missing_file(name: str) -> UsageError:
    """The error for a file that does not exist; it offers the nearest name in the same folder.

    Args:
        name: What the user called it.
    """
    return UsageError(f"There is no file `{name}`.", nearest_file(name))


def nearest_file(name: str) -> str:
    """A question that names the file or folder most like a name that does not exist; empty where none is like it.

    Args:
        name: What the user called it; its folder has to exist.
    """
    import difflib  # only a mistake needs it

    path = Path(name)
    try:
        there = sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):
        return ""
    close = difflib.get_close_matches(path.name, there, n=1, cutoff=0.75)
    if not close or close[0] == path.name:  # a link to nothing is there, and is not
        return ""
    meant = path.parent / close[0]
    return f"Did you mean `{f'{path.name}:NAME' if meant.suffix == '.py' else meant}`?"
