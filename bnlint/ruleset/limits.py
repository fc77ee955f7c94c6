"""What a file that people write settings or rules in may take: far more than anybody writes, and no more."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from bnlint.errors import UsageError
from bnlint.opening import read_regular, reason

LARGEST_FILE: Final = 1_000_000
"""Bytes; the largest rule file of bnlint has some thousand, a `pyproject.toml` some ten thousand."""

MOST_DEPTH: Final = 64
"""Lists and mappings in one another; conditions of rules nest."""

MOST_DIGITS: Final = 64
"""Characters of a number. Those of a long one are turned into a number in quadratic time."""

_LARGEST_INTEGER: Final = 1 << 63


def read_text(file: Path, name: str, mistake: type[UsageError]) -> str:
    """The text of a file.

    Args:
        file: The file.
        name: The file as messages name it.
        mistake: The error to raise.

    Raises:
        UsageError: If it cannot be read, is no regular file, is larger than `LARGEST_FILE`, or is not UTF-8 text.
    """
    try:
        return read_regular(file, LARGEST_FILE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise mistake(f"{name} cannot be read: it is not UTF-8 text.") from error
    except (OSError, ValueError) as error:
        raise mistake(f"{name} cannot be read: {reason(error)}.") from error


def wrong_number(number: int | float) -> str:
    """What is wrong with a number as a setting, as the end of a sentence without a full stop; empty if nothing is."""
    if isinstance(number, float):
        return "" if math.isfinite(number) else f"the number {number} is not finite"
    return "" if -_LARGEST_INTEGER <= number < _LARGEST_INTEGER else "the number takes more than 64 bits"
