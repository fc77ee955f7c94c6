"""A BatchNorm on the far side of each operator that lets it through: folded, and right.

Nothing is kept, and the outputs are those of the original in float64. Statistics are those of
`awkward`: gains of both signs, a variance of 1e-6 and one of 100. Tolerances, relative to the largest value of an
output: 1e-10 folded and run in float64, 2e-5 in float32 (see `tests.folding.proof`).
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests import torchvision_ops  # noqa: F401  (before timm and torchvision)
from tests.folding.layers import CONV, NORM, value
from tests.folding.proof import Chain, assert_folds, awkward, with_positive_gains

WAYS: dict[str, Any] = {
    "identity": nn.Identity(),
    "dropout": nn.Dropout(),
    "dropout_of_channels": nn.Dropout2d(),
    "dropout_function": lambda y: F.dropout(y, 0.5, training=False),
    "dropout_of_nothing": lambda y: F.dropout(y, 0.0),
    "empty_sequence": nn.Sequential(),
    "contiguous": lambda y: y.contiguous(),
    "channels_last": lambda y: y.contiguous(memory_format=torch.channels_last),
    "clone": lambda y: y.clone(),
    "reshape": lambda y: y.reshape(2, 8, 14, 3),
    "flatten_and_back": lambda y: y.flatten(2).view(2, 8, 7, 6),
    "flatten_module": nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (7, 6))),
    "there_and_back": lambda y: y.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
    "transpose_of_places": lambda y: y.transpose(2, 3),
    "average": nn.AvgPool2d(2),
    "average_with_padding_not_counted": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average_function": lambda y: F.avg_pool2d(y, 3, 2),
    "average_function_not_counted": lambda y: F.avg_pool2d(y, 3, 2, 1, count_include_pad=False),
    "adaptive_average": nn.AdaptiveAvgPool2d((3, 2)),
    "global_average": nn.AdaptiveAvgPool2d(1),
    "mean": lambda y: y.mean((2, 3), keepdim=True),
    "mean_function": lambda y: torch.mean(y, dim=[-1, -2], keepdim=True),
    "reflection": nn.ReflectionPad2d(1),
    "replication": nn.ReplicationPad2d((1, 2, 0, 0)),
    "circular": lambda y: F.pad(y, (1, 1, 2, 2), mode="circular"),
    "nearest": nn.Upsample(scale_factor=2),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "bilinear_aligned": nn.UpsamplingBilinear2d(scale_factor=2),
    "nearest_2d": nn.UpsamplingNearest2d(scale_factor=2),
    "bicubic": lambda y: F.interpolate(y, size=(9, 11), mode="bicubic"),
    "area": lambda y: F.interpolate(y, size=(3, 2), mode="area"),
    "antialias": lambda y: F.interpolate(y, size=(3, 2), mode="bilinear", antialias=True),
    "to_the_same_type": lambda y: y.to(y.dtype),
    "zero_plus": lambda y: sum([y]),
    "channel_shuffle": nn.ChannelShuffle(4),
    "channel_shuffle_function": lambda y: F.channel_shuffle(y, 2),
}


@pytest.mark.parametrize("way", WAYS)
def test_through(way: str) -> None:
    between = copy.deepcopy(WAYS[way])
    result = assert_folds(awkward(Chain(conv=nn.Conv2d(8, 8, 1), between=between, bn=nn.BatchNorm2d(8))), value())
    assert result.folds[0].into == ("conv",)


def test_through_a_drop_path_of_timm() -> None:
    timm_layers = pytest.importorskip("timm.layers")
    assert_folds(awkward(Chain(conv=nn.Conv2d(8, 8, 1), drop=timm_layers.DropPath(0.3), bn=nn.BatchNorm2d(8))), value())


@pytest.mark.parametrize("rank", [1, 3])
def test_through_pooling_and_upsampling_of_other_ranks(rank: int) -> None:
    pool = {1: nn.AvgPool1d(2), 3: nn.AvgPool3d(2)}[rank]
    upsample = nn.Upsample(scale_factor=2, mode={1: "linear", 3: "trilinear"}[rank])
    adaptive = {1: nn.AdaptiveAvgPool1d(2), 3: nn.AdaptiveAvgPool3d(2)}[rank]
    chain = Chain(conv=CONV[rank](8, 8, 1), pool=pool, upsample=upsample, adaptive=adaptive, bn=NORM[rank](8))
    assert_folds(awkward(chain), value(rank))


def test_through_a_mean_that_drops_its_axes() -> None:
    assert_folds(awkward(Chain(conv=nn.Conv2d(8, 6, 3), mean=lambda y: y.mean((2, 3)), bn=nn.BatchNorm1d(6))), value())


@pytest.mark.parametrize("shuffle", [nn.PixelShuffle(2), lambda y: F.pixel_shuffle(y, 2)], ids=["module", "function"])
def test_through_a_pixel_shuffle(shuffle: Any) -> None:
    assert_folds(
        awkward(Chain(conv=nn.Conv2d(8, 24, 3), shuffle=copy.deepcopy(shuffle), bn=nn.BatchNorm2d(6))), value()
    )


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, 1),
        lambda y: F.max_pool2d(y, 2),
        nn.AdaptiveMaxPool2d(1),
        lambda y: F.adaptive_max_pool2d(y, 3),
        lambda y: y.amax((2, 3), keepdim=True),
    ],
    ids=["module", "padded", "function", "adaptive", "adaptive_function", "amax"],
)
def test_through_maxima_with_positive_gains(pool: Any) -> None:
    chain = Chain(conv=nn.Conv2d(8, 8, 1), pool=copy.deepcopy(pool), bn=nn.BatchNorm2d(8))
    assert_folds(with_positive_gains(awkward(chain)), value())


def test_through_a_maximum_to_a_reader_with_positive_gains() -> None:
    chain = Chain(activation=nn.Tanh(), bn=nn.BatchNorm2d(8), pool=nn.MaxPool2d(2), conv=nn.Conv2d(8, 4, 1))
    assert_folds(with_positive_gains(awkward(chain)), value())
