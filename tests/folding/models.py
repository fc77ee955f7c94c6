"""Models for the tests of `bnlint fold`, each by an import string."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.models import ConvNet, with_plausible_statistics


def trained() -> nn.Module:
    torch.manual_seed(0)
    return with_plausible_statistics(ConvNet()).eval()


def training() -> nn.Module:
    return trained().train()


def fresh() -> nn.Module:
    return ConvNet().eval()


def infinite() -> nn.Module:
    model = trained()
    model.bn2.running_var[3] = float("nan")  # type: ignore[index,union-attr]
    return model


def without_weights() -> nn.Module:
    return trained().to("meta")


class Chaotic(ConvNet):
    """Rounding grows until nothing is left of the output, which is the same in every run."""

    def forward(self, images: Tensor) -> Tensor:
        y = (1000 * super().forward(images)).sin().square()
        for _ in range(200):
            y = 3.99 * y * (1 - y)  # the logistic map, whose errors double
        return y


def chaotic() -> nn.Module:
    torch.manual_seed(0)
    return with_plausible_statistics(Chaotic()).eval()


class WithFunction(ConvNet):
    """Cannot be pickled, for it holds a function that has no name. Input (N, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.function: Callable[[Tensor], Tensor] = lambda images: images


def with_function() -> nn.Module:
    return with_plausible_statistics(WithFunction()).eval()


class Shared(nn.Module):
    """`bn` stays: its convolution is called twice. Tied heads. Input (N, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.bn = nn.BatchNorm2d(3)
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, images: Tensor) -> Tensor:
        features = self.bn(self.conv(self.conv(images))).relu()
        return self.second(self.first(features.mean((2, 3))))


def shared() -> nn.Module:
    torch.manual_seed(0)
    return with_plausible_statistics(Shared()).eval()


def tiny_timm() -> nn.Module:
    import tests.torchvision_ops  # noqa: F401, I001 - before timm
    import timm

    torch.manual_seed(0)
    return with_plausible_statistics(timm.create_model("test_resnet")).eval()
