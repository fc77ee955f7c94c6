"""Tiny models with one trait each, and a way to give them statistics as training would leave them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def with_plausible_statistics(model: nn.Module, seed: int = 0) -> nn.Module:
    """Gives every BatchNorm of the model varied statistics, scales and a counter, in place, and returns the model."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if not isinstance(layer, _BatchNorm):
            continue
        if layer.running_mean is not None and layer.running_var is not None:
            layer.running_mean.normal_(0, 0.5, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked.fill_(1000)
        if layer.affine:
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(layer.bias, 0, 0.2, generator=generator)
    return model


class ConvNet(nn.Module):
    """Two BatchNorm2d layers where they belong: convolution, normalisation, activation. Input (N, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = self.bn1(self.conv1(images)).relu()
        features = self.bn2(self.conv2(features)).relu()
        return self.head(features.mean((2, 3)))


class NormAfterActivation(nn.Module):
    """`bn` normalises what a ReLU has clipped, and feeds a convolution. Input (N, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.bn(self.conv(images).relu()))


class PooledBranch(nn.Module):
    """`pooled_bn` sees one value of each channel a sample, `bn` sees H·W. Input (N, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.pooled_conv = nn.Conv2d(8, 8, 1, bias=False)
        self.pooled_bn = nn.BatchNorm2d(8)

    def forward(self, images: Tensor) -> Tensor:
        features = self.bn(self.conv(images)).relu()
        pooled = features.mean((2, 3), keepdim=True)
        return features + self.pooled_bn(self.pooled_conv(pooled)).relu()


class RecurrentTokens(nn.Module):
    """`bn` normalises the time steps of a GRU over its channels. Input (N, L, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)
        self.bn = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 2)

    def forward(self, steps: Tensor) -> Tensor:
        hidden, _ = self.gru(steps)
        return self.head(self.bn(hidden.transpose(1, 2)).transpose(1, 2))
