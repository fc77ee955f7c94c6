"""Files that say that something in them is enormous, most of which is a hole that takes no space on the disk."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

GIB = 1 << 30
_LOCAL = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_END_64_PLACE = struct.Struct("<4sIQI")


def zip_with_list(path: Path, size: int, members: int = 40_000, *, there: bool = True, large: bool = False) -> None:
    """An archive whose list of contents takes so many bytes, all of them zero.

    Args:
        path: Where it goes.
        size: What the list takes.
        members: How many members it is said to have.
        there: Whether the list lies in the file.
        large: Whether the numbers stand in the record for archives of more than 4 GiB.
    """
    with path.open("wb") as file:
        start = file.write(_LOCAL.pack(b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a")
        end = file.seek(start + size if there else start + 64)
        if large:
            file.write(_END_64.pack(b"PK\x06\x06", 44, 45, 45, 0, 0, members, members, size, start))
            file.write(_END_64_PLACE.pack(b"PK\x06\x07", 0, end, 1))
            size = start = 0xFFFFFFFF
        file.write(_END.pack(b"PK\x05\x06", 0, 0, min(members, 0xFFFF), min(members, 0xFFFF), size, start, 0))


def starts_with(path: Path, head: bytes, size: int = 3 * GIB) -> None:
    """Some bytes, and nothing but zeros behind them."""
    path.write_bytes(head)
    with path.open("r+b") as file:
        file.truncate(size)


ONE = json.dumps({"weight_map": {f"{number}.running_mean": "x" for number in range(1_000_000)}}).encode()

TARGETS: dict[str, Callable[[Path], None]] = {
    "a list of 3 GiB": lambda path: zip_with_list(path, 3 * GIB),
    "a list of 5 GiB": lambda path: zip_with_list(path, 5 * GIB, large=True),
    "a list that is not there": lambda path: zip_with_list(path, 3 * GIB, there=False),
    "a list of exabytes": lambda path: zip_with_list(path, 1 << 62, there=False, large=True),
    "two million members": lambda path: zip_with_list(path, 2_000_000 * 60, 2_000_000, large=True),
    "a long list of nothing": lambda path: zip_with_list(path, 1 << 24),
    "a safetensors header of 3 GiB": lambda path: starts_with(path, struct.pack("<Q", 3 * GIB - 8) + b"{"),
    "a safetensors header of 100 MB": lambda path: starts_with(path, struct.pack("<Q", 10**8) + b"{"),
    "a safetensors header of exabytes": lambda path: starts_with(path, struct.pack("<Q", 1 << 62) + b"{"),
    "an index of 3 GiB": lambda path: starts_with(path, b'{"weight_map": {'),
    "an index of a million": lambda path: path.write_bytes(ONE) and None,
    "a pickle": lambda path: starts_with(path, b"\x80\x04"),
    "a pickle of one string": lambda path: starts_with(path, b"\x80\x04B" + struct.pack("<I", GIB)),
    "a pickle of before": lambda path: starts_with(path, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."),
    "ONNX": lambda path: starts_with(path, b"\x08\x07\x3a\xff\xff\xff\xff\x0b"),
    "a field of ONNX that repeats": lambda path: path.write_bytes(b"\x08\x07" * 3_000_000) and None,
    "nothing": lambda path: starts_with(path, b""),
}

DATA: dict[str, Callable[[Path], None]] = {
    "list.npz": lambda path: zip_with_list(path, 3 * GIB),
    "list.pt": lambda path: zip_with_list(path, 3 * GIB),
    "header.npy": lambda path: starts_with(path, b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{"),
    "header.safetensors": lambda path: starts_with(path, struct.pack("<Q", 10**8) + b"{"),
}  # fmt: skip
