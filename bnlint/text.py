"""Text for people, whatever the names in a file and the exceptions of a model hold."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text without what would act on a terminal or break a line: a name in a file may hold anything."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def text_of(value: object) -> str:
    """What an object says of itself; nothing where its own `__str__` fails, or gives no text.

    Args:
        value: An exception, say: its class may raise anything, even while a failure is told of.
    """
    try:
        return str(value)
    except BaseException:
        return ""
