"""The nearest right name to a wrong one."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """A question that names the candidate most like a word, empty where none is like it."""
    import difflib  # only a mistake needs it, and start-up time counts

    names = list(candidates)
    by_folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f'did you mean "{by_folded[close[0]]}"?' if close else ""


def alternatives(names: Iterable[str], conjunction: str = "or") -> str:
    """Names as a phrase: `a`, `a or b`, `a, b or c`."""
    *head, last = names
    return f"{', '.join(head)} {conjunction} {last}" if head else last
