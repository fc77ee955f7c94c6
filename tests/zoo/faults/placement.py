"""BN2xx: normalisation in the wrong place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.models import with_plausible_statistics
from tests.zoo.faults.fault import TRAINING, Fault, at, like, swap


class ChannelsLast(nn.Module):
    """Normalises the rows of an image that has as many rows as channels."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def before(path: str, *layers: nn.Module) -> Any:
    """Puts layers before a BatchNorm, whose path then ends with their number."""
    return lambda model: swap(model, path, lambda norm: nn.Sequential(*layers, norm).train(norm.training))


def after(path: str, make: Any) -> Any:
    """Puts a layer after another, made from it."""
    return lambda model: swap(model, path, lambda layer: nn.Sequential(layer, make(layer)).train(layer.training))


def with_bias(path: str) -> Any:
    """A bias for a convolution that has none."""

    def make(conv: nn.Conv2d) -> nn.Conv2d:
        conv.bias = nn.Parameter(torch.empty(conv.out_channels, device="meta"))
        return conv

    return lambda model: swap(model, path, make)


def share(first: str, second: str) -> Any:
    """One BatchNorm in the place of two."""
    return lambda model: swap(model, second, lambda _: at(model, first))


def leave_out(path: str) -> Any:
    """The layer stays in the tree, and forward calls another in its place."""

    def seed(model: Any) -> None:
        owner, _, name = path.rpartition(".")
        setattr(at(model, owner), f"old_{name}", at(model, path))
        swap(model, path, lambda _: nn.Identity())

    return seed


def swap_two(first: str, second: str) -> Any:
    """Exchanges two modules."""

    def seed(model: Any) -> None:
        one, two = at(model, first), at(model, second)
        swap(model, first, lambda _: two)
        swap(model, second, lambda _: one)

    return seed


def plain(channels: int) -> nn.Module:
    return with_plausible_statistics(nn.BatchNorm1d(channels)).eval()


AFTER_LINEAR, IN_BETWEEN = "BatchNorm on the logits", "a dropout before a BatchNorm"
SQUARE = {"inputs": ("2x3x256x256",)}
"""After the stem of a ResNet: 64 channels, 64 rows, 64 columns."""

PLACEMENT = (
    Fault(
        "BN201", "vgg11_bn", "convolution, activation, BatchNorm", swap_two("features.1", "features.2"), ("features.2",)
    ),
    Fault(
        "BN201",
        "resnet18",
        "an activation before the last BatchNorm of a block",
        before("layer1.0.bn2", nn.ReLU()),
        ("layer1.0.bn2",),
    ),
    Fault(
        "BN201",
        "mobilenet_v2",
        "an activation before a projection's BatchNorm",
        before("features.3.conv.3", nn.ReLU6()),
        ("features.3.conv.3",),
    ),
    Fault("BN202", "vgg11_bn", IN_BETWEEN, before("features.5", nn.Dropout(0.3)), ("features.5",), TRAINING),
    Fault("BN202", "resnet18", IN_BETWEEN, before("layer4.1.bn2", nn.Dropout2d(0.2)), ("layer4.1.bn2",), TRAINING),
    Fault(
        "BN202",
        "densenet121",
        "a dropout in the input of a pre-activated block",
        before("features.norm5", nn.Dropout(0.1)),
        ("features.norm5",),
        TRAINING,
    ),
    Fault("BN203", "resnet18", "a bias in the first convolution", with_bias("conv1"), ("bn1",), TRAINING),
    Fault(
        "BN203",
        "mobilenet_v2",
        "a bias in a depthwise convolution",
        with_bias("features.4.conv.1.0"),
        ("features.4.conv.1.1",),
        TRAINING,
    ),
    Fault(
        "BN203",
        "regnetx_002",
        "a bias in a grouped convolution",
        with_bias("s2.b1.conv2.conv"),
        ("s2.b1.conv2.bn",),
        TRAINING,
    ),
    Fault(
        "BN204",
        "resnet18",
        "one BatchNorm for both convolutions of a block",
        share("layer1.0.bn1", "layer1.0.bn2"),
        ("layer1.0.bn1",),
    ),
    Fault(
        "BN204", "vgg11_bn", "one BatchNorm for two convolutions", share("features.9", "features.12"), ("features.9",)
    ),
    Fault(
        "BN204",
        "mobilenet_v2",
        "one BatchNorm for two blocks",
        share("features.8.conv.0.1", "features.9.conv.0.1"),
        ("features.8.conv.0.1",),
        TRAINING,
    ),
    Fault(
        "BN205",
        "resnet18",
        "a BatchNorm that forward no longer calls",
        leave_out("layer2.1.bn1"),
        ("layer2.1.old_bn1",),
    ),
    Fault(
        "BN205",
        "densenet121",
        "a BatchNorm that forward no longer calls",
        leave_out("features.denseblock1.denselayer1.norm2"),
        ("features.denseblock1.denselayer1.old_norm2",),
    ),
    Fault(
        "BN205",
        "levit_128s",
        "a BatchNorm for a head that is not there",
        lambda m: m.add_module("head_norm", plain(384)),
        ("head_norm",),
    ),
    Fault("BN206", "resnet18", "two BatchNorm layers, one after the other", after("bn1", like), ("bn1.1",)),
    Fault(
        "BN206",
        "mobilenet_v2",
        "a BatchNorm on the output of a block that ends with one",
        after("features.2", lambda _: with_plausible_statistics(nn.BatchNorm2d(24)).eval()),
        ("features.2.1",),
    ),
    Fault(
        "BN206",
        "vgg11_bn",
        "a GroupNorm before a BatchNorm",
        before("features.1", nn.GroupNorm(8, 64)),
        ("features.1",),
    ),
    Fault(
        "BN207",
        "resnet18",
        "channels last, and as many rows as channels",
        lambda m: swap(m, "layer1.0.bn1", ChannelsLast),
        ("layer1.0.bn1",),
        SQUARE,
    ),
    Fault(
        "BN207",
        "resnet50",
        "channels last, and as many rows as channels",
        lambda m: swap(m, "layer1.2.bn2", ChannelsLast),
        ("layer1.2.bn2",),
        SQUARE,
    ),
    Fault(
        "BN207",
        "test_convnext",
        "BatchNorm2d in the place of LayerNorm, channels last",
        lambda m: swap(m, "stages.0.blocks.0.norm", lambda _: with_plausible_statistics(nn.BatchNorm2d(24)).eval()),
        ("stages.0.blocks.0.norm",),
        {"inputs": ("2x3x96x96",)},
    ),
    Fault("BN208", "resnet18", AFTER_LINEAR, after("fc", lambda _: plain(1000)), ("fc.1",)),
    Fault("BN208", "mobilenet_v2", AFTER_LINEAR, after("classifier.1", lambda _: plain(1000)), ("classifier.1.1",)),
    Fault("BN208", "vgg11_bn", AFTER_LINEAR, after("classifier", lambda _: plain(1000)), ("classifier.1",)),
)
