"""Tensors on the bytes of a file: mapped into memory, so that only what is looked at is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy
import torch
from torch import Tensor, nn

from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.inert.tensors import ITEM_SIZES, SavedTensor
from bnlint.artifacts.known.names import NotKnownCodeError
from bnlint.artifacts.user_code import first_line
from bnlint.opening import open_regular

_ALIGNMENT: Final = 16
"""Bytes at multiples of which every data type may begin; files of `torch.save` since torch 1.6 keep to 64."""

_MOST_OVERLAP: Final = 4
"""How many times the size of the file all tensors together may have, where some are views of the same bytes."""


class Storages:
    """Makes tensors on the storages of a file. What is written into them never reaches the file.

    Args:
        file: The file.
        regions: Where its storages lie, by key.
    """

    def __init__(self, file: Path, regions: Mapping[str, Region]) -> None:
        with open_regular(file, buffering=0) as opened:
            # A private mapping, as of `UntypedStorage.from_file`, which would open whatever has the name by now.
            mapped = numpy.memmap(opened, numpy.uint8, "c")
        self._size = mapped.nbytes
        self._bytes = torch.from_numpy(mapped).untyped_storage()
        self._regions = regions
        self._storages: dict[str, torch.UntypedStorage] = {}
        self._left = _MOST_OVERLAP * self._size

    def tensor(self, saved: SavedTensor) -> Tensor:
        """A tensor or parameter; those that share a storage in the file share it here.

        Raises:
            NotKnownCodeError: The file holds no values of it, or it is larger than its storage.
        """
        region = self._regions.get(saved.storage) if saved.storage else None
        if region is None:
            raise NotKnownCodeError("a tensor", "whose values are not in the file")
        size = saved.numel * ITEM_SIZES[saved.dtype]
        self._left -= size
        beyond = size and saved.end > region.size
        if beyond or size > region.size or self._left < 0 or region.start + region.size > self._size:
            raise NotKnownCodeError("a tensor", "which is larger than its storage")
        try:
            tensor = torch.empty(0, dtype=getattr(torch, saved.dtype))
            tensor.set_(self._storage(saved.storage, region), saved.offset, saved.shape, saved.stride)
        except (AttributeError, RuntimeError) as error:
            raise NotKnownCodeError("a tensor", f"which torch cannot make ({first_line(error)})") from error
        learns = saved.requires_grad and (tensor.is_floating_point() or tensor.is_complex())
        if saved.parameter:
            return nn.Parameter(tensor, requires_grad=learns)
        return tensor.requires_grad_(learns)

    def _storage(self, key: str, region: Region) -> torch.UntypedStorage:
        if key not in self._storages:
            found: torch.UntypedStorage = self._bytes[region.start : region.start + region.size]
            if region.start % _ALIGNMENT:
                found = found.clone()  # type: ignore[no-untyped-call]
            self._storages[key] = found
        return self._storages[key]
