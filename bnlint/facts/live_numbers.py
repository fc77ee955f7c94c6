"""The numbers of a live tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from bnlint.facts.numbers import Numbers
from bnlint.tracing.devices import wraps_values

if TYPE_CHECKING:
    import numpy

_NUMPY_HAS = frozenset({
    torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
    torch.bool, torch.complex64, torch.complex128,
})  # fmt: skip


def of_tensor(tensor: Tensor) -> Numbers:
    """The numbers of a tensor on any device; it is not copied where it lies in CPU memory."""
    parameter = isinstance(tensor, nn.Parameter)
    dtype = str(tensor.dtype).removeprefix("torch.")
    if isinstance(tensor, UninitializedTensorMixin) or tensor.is_nested:
        return Numbers(dtype, None, None, parameter)

    def read() -> numpy.ndarray:
        values = tensor.detach().resolve_conj().resolve_neg()
        return (values if values.dtype in _NUMPY_HAS else values.float()).cpu().numpy()

    return Numbers(dtype, tuple(tensor.shape), read if _holds_values(tensor) else None, parameter)


def _holds_values(tensor: Tensor) -> bool:
    """Whether a tensor holds its values one after the other; sparse, quantised and wrapping ones hold others."""
    return (
        not wraps_values(tensor) and tensor.layout is torch.strided and not tensor.is_meta and not tensor.is_quantized
    )
