"""Where values lie in a file, and reading those that are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

import msgspec

from bnlint.artifacts.inert.tensors import ITEM_SIZES, SavedTensor
from bnlint.opening import reopen_regular

if TYPE_CHECKING:
    import numpy

LARGEST_TENSOR: Final = 1 << 24
"""Elements of a tensor that is read; a normalisation layer of a published model has some thousand."""


class Region(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part of a file.

    Attributes:
        start: Its first byte.
        size: Its length, in bytes.
    """

    start: int
    size: int


class OutsideFileError(ValueError):
    """A tensor that does not lie within its storage, or a storage that does not lie within the file."""


def read_values(path: Path, tensor: SavedTensor, region: Region, little_endian: bool = True) -> numpy.ndarray:
    """Read the values of one tensor, and nothing else, from a file.

    Args:
        path: The file.
        tensor: What to read.
        region: Where its storage lies.
        little_endian: The byte order of the file.

    Returns:
        As for `values_in`.

    Raises:
        OutsideFileError: As for `values_in`.
    """
    # A buffer would fetch 8 KiB for each tensor of a normalisation layer, which has a few hundred bytes.
    with reopen_regular(path) as file:
        return values_in(file, tensor, region, little_endian)


def values_in(file: BinaryIO, tensor: SavedTensor, region: Region, little_endian: bool = True) -> numpy.ndarray:
    """Read the values of one tensor, and nothing else, from an open file.

    Args:
        file: The file, seekable.
        tensor: What to read.
        region: Where its storage lies.
        little_endian: The byte order of the file.

    Returns:
        The values in the shape of the tensor, in the byte order of the machine; bfloat16 and 8-bit floats as float32,
        which holds them exactly.

    Raises:
        OutsideFileError: The tensor reaches beyond its storage or the file, or is far larger than a normalisation
            layer has.
    """
    import numpy

    item = ITEM_SIZES[tensor.dtype]
    if tensor.numel > LARGEST_TENSOR:
        raise OutsideFileError("a tensor is far larger than those of a normalisation layer")
    if tensor.numel == 0:
        return numpy.zeros(tensor.shape, numpy.float32)
    span = tensor.last - tensor.offset + 1
    if tensor.end > region.size or span > LARGEST_TENSOR:
        raise OutsideFileError("a tensor reaches beyond its storage")
    file.seek(region.start + tensor.offset * item)
    data = file.read(span * item)
    if len(data) != span * item:
        raise OutsideFileError("a storage reaches beyond the end of the file")
    values = decode(data, tensor.dtype, little_endian)
    if _is_contiguous(tensor):
        return values.reshape(tensor.shape)

    from numpy.lib.stride_tricks import as_strided

    return as_strided(values, tensor.shape, [step * values.itemsize for step in tensor.stride]).copy()


def _is_contiguous(tensor: SavedTensor) -> bool:
    expected = 1
    for size, step in zip(reversed(tensor.shape), reversed(tensor.stride), strict=True):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True


def decode(data: bytes, dtype: str, little_endian: bool) -> numpy.ndarray:
    """Values of a data type from their bytes.

    Args:
        data: The bytes.
        dtype: By torch's names.
        little_endian: Their order.

    Returns:
        The values on one axis, in the byte order of the machine; bfloat16 and 8-bit floats as float32.
    """
    import numpy

    order: Literal["<", ">"] = "<" if little_endian else ">"
    if dtype != "bfloat16" and not dtype.startswith("float8"):
        plain = numpy.frombuffer(data, numpy.dtype(dtype).newbyteorder(order))
        return plain.astype(numpy.dtype(dtype))
    import ml_dtypes

    whole = numpy.frombuffer(data, numpy.dtype("uint16" if dtype == "bfloat16" else "uint8").newbyteorder(order))
    native = whole.astype(whole.dtype.newbyteorder("="))
    narrow: numpy.ndarray = native.view(getattr(ml_dtypes, dtype))
    return narrow.astype(numpy.float32)
