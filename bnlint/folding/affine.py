"""The per-channel affine that a BatchNorm is in eval mode: `y = scale · x + shift`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Affine:
    """A scale and a shift for each channel.

    Attributes:
        scale: Shape (C,), float64.
        shift: Shape (C,), float64.
    """

    scale: Tensor
    shift: Tensor


def affine_of(layer: nn.Module, *tensors: Tensor) -> Affine:
    """The affine of a BatchNorm layer in eval mode, after Ioffe and Szegedy 2015, section 3.1.

    Args:
        layer: A layer with `running_mean` and `running_var`, and `weight` and `bias` if it is affine.
        tensors: A weight and a bias to use instead of those of the layer.

    Returns:
        `scale = weight / sqrt(running_var + eps)` and `shift = bias − running_mean · scale`, in float64.
    """
    mean, variance = _double(layer.running_mean), _double(layer.running_var)
    eps = getattr(layer, "eps", 1e-5)
    weight, bias = tensors or (getattr(layer, "weight", None), getattr(layer, "bias", None))
    scale = torch.rsqrt(variance + float(eps))
    if weight is not None:
        scale = scale * _double(weight)
    shift = -mean * scale
    return Affine(scale, shift if bias is None else shift + _double(bias))


def _double(tensor: object) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError("a BatchNorm without running statistics has no fixed affine")
    return tensor.detach().double().flatten()  # (1, C, 1, 1) will do for PyTorch too
