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
    return f"Did you mean `{path.parent / close[0]}`?" if close else ""
