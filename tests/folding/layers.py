"""Layers, inputs and parameters that the tests of folding share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

from tests.folding.proof import Model, awkward, images

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}

SHAPE = (2, 8, 7, 6, 5)
"""No two axes have one size."""

SQUARE = images(2, 8, 8, 8)
"""Batch apart, every axis has the size of the channels: an axis that only agrees in size does not show in shapes."""

ranks = pytest.mark.parametrize("rank", [1, 2, 3])
biases = pytest.mark.parametrize("bias", [False, True], ids=["no_bias", "bias"])
affines = pytest.mark.parametrize("affine", [False, True], ids=["no_affine", "affine"])
groupings = pytest.mark.parametrize("groups", [1, 2, 8])


def model_of(compute: Callable[..., Any], **layers: nn.Module) -> nn.Module:
    """A model with awkward statistics: layers by name, and a function of them and the inputs as the forward."""
    return awkward(Model(compute, **layers))


def value(rank: int = 2) -> Tensor:
    """An input of 8 channels for layers of a rank."""
    return images(*SHAPE[: rank + 2])


def conv(channels: int = 8, kernel: int = 3, **arguments: Any) -> nn.Conv2d:
    """A convolution of 8 channels that leaves height and width as they are."""
    return nn.Conv2d(8, channels, kernel, padding=kernel // 2, **arguments)
