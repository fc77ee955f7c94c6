"""Breaks styled text into lines as rich does, but without a console of rich, whose import is a part of every start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rich.cells import cell_len, chop_cells
from rich.text import Text

_WORD: Final = re.compile(r"\s*\S+\s*")


def wrapped(text: Text, width: int) -> list[Text]:
    """The lines of a text, without spaces at their ends.

    Args:
        text: Without tabs.
        width: Columns of a line, at least 2; a word that is longer is cut.
    """
    lines = [line for part in text.split(allow_blank=True) for line in part.divide(_breaks(part.plain, width))]
    for line in lines:
        line.rstrip()
    return lines


def _breaks(text: str, width: int) -> Iterator[int]:
    """Where each line but the first begins."""
    used = 0
    for match in _WORD.finditer(text):
        start, word = match.start(), match[0]
        length = cell_len(word.rstrip())
        if used + length <= width:
            used += cell_len(word)
            continue
        pieces = chop_cells(word, width) if length > width else [word]
        for piece in pieces:
            if start:
                yield start
            start += len(piece)
            used = cell_len(piece)
