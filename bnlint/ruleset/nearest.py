"""The nearest right name to a wrong one."""

from __future__ import annotations

from collections.abc import Iterable

_LOOK_ALIKES = str.maketrans("ol", "01")
"""Letters that are typed for digits: `BN5O1` is meant to be `BN501`, not the `BN511` that is as near."""


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """A question that names the candidate most like a word, empty where none is like it."""
    import difflib  # only a mistake needs it, and start-up time counts

    names = list(candidates)
    by_folded = {_fold(name): name for name in names}
    part_of = [name for name in names if len(word) > 2 and _fold(word) in _fold(name)]
    if len(part_of) == 1:
        return f'did you mean "{part_of[0]}"?'
    close = difflib.get_close_matches(_fold(word), by_folded, n=1, cutoff=0.6)
    return f'did you mean "{by_folded[close[0]]}"?' if close else ""


def _fold(word: str) -> str:
    return word.casefold().translate(_LOOK_ALIKES)


def alternatives(names: Iterable[str], conjunction: str = "or") -> str:
    """Names as a phrase: `a`, `a or b`, `a, b or c`."""
    *head, last = names
    return f"{', '.join(head)} {conjunction} {last}" if head else last
