"""A model of your own, checked by import string: bnlint imports this file and calls `build`.

    cd examples
    bnlint check custom_model:build --input 1x3x64x64 --context training --batch-size 1
    bnlint check custom_model:build --kwargs '{width: 64, pooled_branch: false}' --input 1x3x64x64

The first says which layer cannot be trained with one image on each device, and which would see too little.
"""

from __future__ import annotations

from torch import Tensor, nn


def conv_block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class ContextNet(nn.Module):
    """Per-pixel features, with a branch that pools the whole image into one value of each channel."""

    def __init__(self, width: int, pooled_branch: bool) -> None:
        super().__init__()
        self.stem = conv_block(3, width, 3)
        self.pooled = conv_block(width, width, 1) if pooled_branch else None
        self.head = nn.Conv2d(width, 10, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        if self.pooled is not None:
            features = features + self.pooled(features.mean((2, 3), keepdim=True))
        return self.head(features)


def build(width: int = 32, pooled_branch: bool = True) -> nn.Module:
    return ContextNet(width, pooled_branch)
