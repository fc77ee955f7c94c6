"""Text for people, whatever the names in a file hold."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text without what would act on a terminal or break a line: a name in a file may hold anything."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
