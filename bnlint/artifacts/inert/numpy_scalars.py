"""Single numbers of NumPy in a pickle: rates from `numpy.linspace` are kept by many models."""

from __future__ import annotations

import struct
from typing import Any, Final

from bnlint.artifacts.inert.values import Stub, made_by

_MAKERS: Final = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_FORMATS: Final = {
    "f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q", "u4": "I", "u2": "H",
    "u1": "B", "b1": "?",
}  # fmt: skip
"""Codes of `struct` by the names of NumPy's data types."""


def numpy_scalar(value: Any) -> bool | int | float | None:
    """The number that a value describes, as Python's own; `None` where it is anything else."""
    if not made_by(value, *_MAKERS):
        return None
    match value.arguments:
        case (Stub(arguments=(str(name), *_), states=[(_, "<" | ">" | "|" as order, *_)]) as dtype, data):
            code = _FORMATS.get(name) if made_by(dtype, "numpy.dtype") else None
        case _:
            return None
    raw = _bytes(data)
    form = f"{'>' if order == '>' else '<'}{code}"
    if code is None or raw is None or len(raw) != struct.calcsize(form):
        return None
    (number,) = struct.unpack(form, raw)
    return number if isinstance(number, (bool, int, float)) else None


def _bytes(data: Any) -> bytes | None:
    if made_by(data, "_codecs.encode"):  # protocols 0 to 2 have no bytes and write them as text
        text = data.arguments[0] if isinstance(data.arguments, tuple) and data.arguments[1:] == ("latin1",) else None
        try:
            return text.encode("latin-1") if isinstance(text, str) else None
        except UnicodeEncodeError:
            return None
    return data if isinstance(data, bytes) else None
