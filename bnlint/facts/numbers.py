"""The numbers of one tensor of a layer, whatever holds them: a live model or a file. Without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from bnlint.artifacts.extents import Extent, extents
from bnlint.artifacts.inert.regions import LARGEST_TENSOR

if TYPE_CHECKING:
    import numpy

    from bnlint.artifacts.stored import StoredTensor


class Numbers(msgspec.Struct, frozen=True, dict=True):
    """A tensor whose values are read at most once, and only when they are asked for.

    Attributes:
        dtype: Name of the data type, such as `bfloat16`.
        shape: The shape; `None` for a parameter that a lazy layer has not made yet.
        read: Gives the values in the shape of the tensor, bfloat16 and 8-bit floats as float32, which holds them
            exactly; `None` where there are none, as on the meta device.
        parameter: Whether it is an `nn.Parameter`.
        extent: The least and the greatest value, where they are known before the values are read.
    """

    dtype: str
    shape: tuple[int, ...] | None
    read: Callable[[], numpy.ndarray] | None
    parameter: bool = False
    extent: Extent | None = None

    @property
    def size(self) -> int:
        """Number of values; 0 where the shape is not known."""
        return 0 if self.shape is None else math.prod(self.shape)

    @cached_property
    def values(self) -> numpy.ndarray:
        """The values.

        Raises:
            ValueError: There are none.
        """
        if self.read is None:
            raise ValueError("a tensor without data has no values")
        return self.read()

    def forget(self) -> None:
        """Give the memory of the values back; whoever asks for them again has them read again."""
        self.__dict__.pop("values", None)


def of_stored(tensors: Sequence[StoredTensor]) -> list[Numbers]:
    """The numbers of tensors in files; one that is larger than that of any normalisation layer is not read.

    Args:
        tensors: All that are wanted of a model: those that lie side by side are read at once.

    Raises:
        NotAnalysedError: They have more values than any model.
    """
    return [_of_stored(stored, extent) for stored, extent in zip(tensors, extents(tensors), strict=True)]


def _of_stored(stored: StoredTensor, extent: Extent | None) -> Numbers:
    described = stored.description
    readable = extent is not None or (stored.has_values and described.numel <= LARGEST_TENSOR)
    return Numbers(described.dtype, described.shape, stored.values if readable else None, described.parameter, extent)
