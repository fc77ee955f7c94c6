"""The numbers of one tensor of a layer, whatever holds them: a live model or a file. Without torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bnlint.artifacts.inert.regions import LARGEST_TENSOR

if TYPE_CHECKING:
    import numpy

    from bnlint.artifacts.stored import StoredTensor


@dataclass(frozen=True)
class Numbers:
    """A tensor whose values are read at most once, and only when they are asked for.

    Attributes:
        dtype: Name of the data type, such as `bfloat16`.
        shape: The shape; `None` for a parameter that a lazy layer has not made yet.
        read: Gives the values in the shape of the tensor, bfloat16 and 8-bit floats as float32, which holds them
            exactly; `None` where there are none, as on the meta device.
        parameter: Whether it is an `nn.Parameter`.
    """

    dtype: str
    shape: tuple[int, ...] | None
    read: Callable[[], numpy.ndarray] | None
    parameter: bool = False

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


def of_stored(stored: StoredTensor) -> Numbers:
    """The numbers of a tensor in a file; one that is larger than that of any normalisation layer is not read."""
    readable = stored.has_values and stored.description.numel <= LARGEST_TENSOR
    return Numbers(stored.dtype, stored.shape, stored.values if readable else None, stored.description.parameter)
