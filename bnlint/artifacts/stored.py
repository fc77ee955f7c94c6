"""Tensors in files: what they are at once, their values when they are asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from bnlint.artifacts.inert.regions import OutsideFileError, Region, read_values
from bnlint.artifacts.inert.tensors import ITEM_SIZES, SavedTensor
from bnlint.errors import AGAIN, NotAnalysedError
from bnlint.opening import open_regular, unreadable

if TYPE_CHECKING:
    import numpy
    from torch import Tensor


_READ: Final = 1 << 20
"""Bytes of a tensor that is read rather than mapped: every mapping keeps its file open, and a process may open a
thousand."""


class StoredTensor(msgspec.Struct, frozen=True, gc=False):
    """A tensor in a file.

    Attributes:
        description: Its data type, shape and place in its storage.
        file: The file.
        name: What the user called the file.
        region: Where its storage lies; `None` where the file holds no values.
        little_endian: The byte order of the file.
    """

    description: SavedTensor
    file: Path
    name: str
    region: Region | None
    little_endian: bool = True

    @property
    def dtype(self) -> str:
        """Name of the data type, such as `float32`."""
        return self.description.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.description.shape

    @property
    def has_values(self) -> bool:
        """Whether the file holds its values."""
        return self.region is not None

    def values(self) -> numpy.ndarray:
        """Read the values, without torch; bfloat16 and 8-bit floats as float32, which holds them exactly.

        Raises:
            NotAnalysedError: The tensor does not lie within the file, or the file holds no values of it.
        """
        if self.region is None:
            raise NotAnalysedError(f"`{self.name}` holds no values of a tensor that it describes.")
        try:
            return read_values(self.file, self.description, self.region, self.little_endian)
        except OSError as error:
            raise unreadable(self.name, error, AGAIN) from error
        except OutsideFileError as error:
            raise NotAnalysedError(f"`{self.name}` is damaged: {error}.", AGAIN) from error

    def as_torch(self) -> Tensor:
        """The tensor itself, mapped into memory rather than read; only on machines of the file's byte order.

        Raises:
            NotAnalysedError: As for `values`.
        """
        import torch

        tensor = self.description
        dtype: torch.dtype = getattr(torch, tensor.dtype)
        if self.region is None or tensor.numel == 0:
            return torch.empty(tensor.shape, dtype=dtype, device="meta" if self.region is None else "cpu")
        try:
            with open_regular(self.file, buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if tensor.end > self.region.size or self.region.start + tensor.end > size:
                    raise NotAnalysedError(f"`{self.name}` is damaged: a tensor reaches beyond its storage.")
                flat = _mapped(file, self.region.start, tensor.end, ITEM_SIZES[tensor.dtype]).view(dtype)
        except (OSError, ValueError) as error:
            raise unreadable(self.name, error, AGAIN) from error
        return torch.as_strided(flat, tensor.shape, tensor.stride, tensor.offset)


def _mapped(file: BinaryIO, start: int, size: int, item: int) -> Tensor:
    import numpy
    import torch

    if size <= _READ:
        return torch.from_numpy(numpy.fromfile(file, numpy.uint8, size, offset=start))
    # A private mapping: what is written into the tensor never reaches the file.
    data: numpy.ndarray = numpy.memmap(file, numpy.uint8, "c", start, (size,))
    # torch wants numbers at multiples of their size, which safetensors does not promise.
    return torch.from_numpy(numpy.array(data) if start % item else data)
