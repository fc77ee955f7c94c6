"""The unknown value: neither `None` (not applicable) nor `False`."""

from __future__ import annotations

import enum
from typing import Final, Literal, TypeAlias, TypeVar

T = TypeVar("T")


class Unknown(enum.Enum):
    """The type of `UNKNOWN`."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("an unknown fact is neither true nor false: compare with `is UNKNOWN`")


UNKNOWN: Final = Unknown.UNKNOWN
"""A fact that could not be established."""

Maybe: TypeAlias = T | Literal[Unknown.UNKNOWN]
"""A value, or `UNKNOWN`."""
