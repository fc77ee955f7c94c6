"""The header of a safetensors file, by the format's own description; values are read when they are asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import msgspec

from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.inert.tensors import ITEM_SIZES, MOST_AXES, SavedTensor, contiguous
from bnlint.artifacts.json_size import refuse_many_parts
from bnlint.artifacts.stored import StoredTensor
from bnlint.errors import AGAIN, NotAnalysedError
from bnlint.opening import open_regular, unreadable

LARGEST_HEADER: Final = 100_000_000
"""Bytes, the limit of the format itself: https://github.com/huggingface/safetensors#format."""

_DTYPES: Final = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "BOOL": "bool",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip


class _Item(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    dtype: str
    shape: Annotated[tuple[int, ...], msgspec.Meta(max_length=MOST_AXES)]
    data_offsets: tuple[int, int]


def read_header(path: Path, name: str) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file by their name in it.

    Args:
        path: The file.
        name: What the user called it.

    Returns:
        The tensors of the types that torch has, in the order of the header.

    Raises:
        NotAnalysedError: The file is cut short or damaged.
    """
    try:
        with open_regular(path) as file:
            return {tensor.storage: StoredTensor(tensor, path, name, region) for tensor, region in describe(file)}
    except OSError as error:
        raise unreadable(name, error, AGAIN) from error
    except (ValueError, RecursionError) as error:
        cause = f"`{name}` is a safetensors file that is cut short or damaged: {error}."
        raise NotAnalysedError(cause, AGAIN) from error


def describe(file: BinaryIO) -> Iterator[tuple[SavedTensor, Region]]:
    """What the header of an open file says: each tensor, whose storage has its name, and where it lies.

    Args:
        file: A seekable file at its start.

    Raises:
        OSError: It cannot be read.
        ValueError: It is cut short or damaged.
        RecursionError: The header is nested deeper than any real one.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > min(LARGEST_HEADER, size - 8):
        raise ValueError(f"its header is said to take {length} bytes")
    text = file.read(length)
    refuse_many_parts(text)
    header: dict[str, msgspec.Raw] = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    header.pop("__metadata__", None)
    items = msgspec.json.Decoder(_Item)
    for key, item in header.items():
        yield _described(items.decode(item), key, 8 + length, size)


def _described(item: _Item, key: str, start: int, size: int) -> tuple[SavedTensor, Region]:
    dtype = _DTYPES.get(item.dtype)
    if dtype is None:
        raise ValueError(f"`{key}` has the data type {item.dtype}, which bnlint does not know")
    shape, (first, last) = item.shape, item.data_offsets
    if not 0 <= first <= last <= size - start or (shape and min(shape) < 0):
        raise ValueError(f"`{key}` reaches beyond the end of the file")
    tensor = SavedTensor(dtype, shape, contiguous(shape), 0, key, last - first, requires_grad=False)
    if last - first != math.prod(shape) * ITEM_SIZES[dtype]:
        raise ValueError(f"`{key}` does not take the bytes that its shape needs")
    return tensor, Region(start + first, last - first)
