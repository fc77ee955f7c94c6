"""Lines of Python that TorchScript code was made from: the `.debug_pkl` beside each file of code."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any, Final

import msgspec

from bnlint.artifacts.inert.values import made_by

_FRAME: Final = re.compile(r"^(.+)\((\d{1,9})\): (\S+)$")
"""A line of the stack that `torch.jit.trace` keeps for each operation."""

_OF_TORCH: Final = re.compile(r"[/\\](site|dist)-packages[/\\]torch[/\\]")


class SourceLine(msgspec.Struct, frozen=True, array_like=True):
    """A line of the code of a user.

    Attributes:
        file: Path on the machine where the archive was made.
        line: Line number, from 1.
        function: Name of the function; empty where the archive does not tell.
    """

    file: str
    line: int
    function: str = ""


class SourceLines:
    """Lines by the place in one file of code.

    Args:
        value: What the `.debug_pkl` holds; anything but the form with a table of texts gives no lines.
    """

    def __init__(self, value: Any) -> None:
        self._texts: tuple[Any, ...] = ()
        self._ranges: list[tuple[int, Any]] = []
        if not isinstance(value, tuple) or len(value) != 3 or value[0] != "FORMAT_WITH_STRING_TABLE":
            return
        _, texts, ranges = value
        if not isinstance(texts, tuple) or not isinstance(ranges, tuple):
            return
        self._texts = texts
        for item in ranges:
            if isinstance(item, tuple) and len(item) >= 2 and _is_count(item[0]):
                self._ranges.append((item[0], item[1]))
        self._ranges.sort(key=lambda found: found[0])
        self._offsets = [offset for offset, _ in self._ranges]

    def at(self, offset: int) -> SourceLine | None:
        """The innermost line outside torch for a place in the code.

        Args:
            offset: The place, in bytes.

        Returns:
            The line; `None` where it is not kept, or lies in torch.
        """
        number = bisect_right(self._offsets, offset) - 1 if self._ranges else -1
        source = self._ranges[number][1] if number >= 0 else None
        if not isinstance(source, tuple) or len(source) != 3:
            return None
        place, start, _ = source
        if not isinstance(place, tuple) or len(place) != 3 or not _is_count(start):
            return None
        parts, file, first = place
        text = self._text(parts)
        frames = [found for line in text.splitlines() if (found := _FRAME.match(line)) is not None]
        if frames:
            outside = (frame for frame in frames if not _OF_TORCH.search(frame[1]))
            return next((SourceLine(frame[1], int(frame[2]), frame[3]) for frame in outside), None)
        name = self._string(file)
        if not name or not _is_count(first) or _OF_TORCH.search(name):
            return None
        return SourceLine(name, first + text[:start].count("\n"))

    def _text(self, parts: Any) -> str:
        if made_by(parts, "torch.jit._pickle.build_intlist") and isinstance(parts.arguments, tuple) and parts.arguments:
            parts = parts.arguments[0]
        return "".join(map(self._string, parts[:10_000])) if isinstance(parts, list) else ""

    def _string(self, number: Any) -> str:
        text = self._texts[number] if _is_count(number) and number < len(self._texts) else ""
        return text if isinstance(text, str) else ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
