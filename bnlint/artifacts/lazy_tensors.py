"""Tensors of a file by name, as torch tensors, each opened when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from bnlint.artifacts.inert.regions import LARGEST_TENSOR
from bnlint.artifacts.stored import StoredTensor

if TYPE_CHECKING:
    from torch import Tensor


class LazyTensors(Mapping[str, "Tensor"]):
    """Tensors of a file, mapped into memory on the first look at each.

    A tensor that is larger than that of any normalisation layer is on the meta device: a few bytes of a file can
    describe a view of terabytes.

    Args:
        stored: The tensors by name.
    """

    def __init__(self, stored: Mapping[str, StoredTensor]) -> None:
        self._stored = stored
        self._opened: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._opened:
            self._opened[name] = _opened(self._stored[name])
        return self._opened[name]

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def _opened(stored: StoredTensor) -> Tensor:
    import torch

    described = stored.description
    if described.numel <= LARGEST_TENSOR:
        tensor = stored.as_torch()
    else:
        dtype: torch.dtype = getattr(torch, stored.dtype)
        tensor = torch.empty((), dtype=dtype, device="meta").expand(stored.shape)
    if not described.parameter:
        return tensor
    learns = described.requires_grad and (tensor.is_floating_point() or tensor.is_complex())
    return torch.nn.Parameter(tensor, requires_grad=learns)
