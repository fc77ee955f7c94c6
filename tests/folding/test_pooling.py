"""Padding, pooling and maxima: folded or kept, the outputs are right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import assert_folds, assert_kept, fold


@pytest.mark.parametrize("padding", [1, (0, 1), "same"])
def test_a_convolution_that_pads_with_zeros_takes_no_norm_before_it(padding: Any) -> None:
    model = model_of(
        lambda m, x: m.conv(m.bn(x.tanh())), conv=nn.Conv2d(8, 4, 3, padding=padding), bn=nn.BatchNorm2d(8)
    )
    assert_kept(model, SQUARE, words="pads with zeros")


def test_a_transposed_convolution_takes_no_norm_before_it() -> None:
    model = model_of(lambda m, x: m.conv(m.bn(x.tanh())), conv=nn.ConvTranspose2d(8, 4, 3), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="transposed")


def test_one_reader_of_the_norm_cannot_take_it() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.bn(x.tanh())
        return m.conv(y), y.sigmoid()

    assert_kept(model_of(compute, conv=nn.Conv2d(8, 4, 1), bn=nn.BatchNorm2d(8)), SQUARE, words="sigmoid")


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(3, 1, 1),
        nn.AvgPool2d(2, divisor_override=3),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(3, 2, 0, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.LPPool2d(2, 2),
        nn.AdaptiveMaxPool2d(2),
        nn.MaxPool2d(2),
        nn.FractionalMaxPool2d(2, 3, _random_samples=torch.full((2, 8, 2), 0.3)),
        nn.ZeroPad2d(1),
        nn.ConstantPad2d(1, 0.7),
        nn.ReflectionPad2d(1),
        nn.ReplicationPad2d(1),
        nn.Softmax(1),
        nn.LocalResponseNorm(2),
        nn.PReLU(8),
        nn.Hardtanh(),
        nn.Upsample(scale_factor=2, mode="bicubic"),
        nn.Upsample(size=5, mode="bilinear", align_corners=True),
        nn.PixelUnshuffle(2),
        nn.ChannelShuffle(2),
        nn.Fold((2, 2), 2),
        nn.CircularPad2d(2),
    ],
    ids=lambda layer: repr(layer)[:60],
)
def test_layers_between_convolution_and_norm(pool: nn.Module) -> None:
    """Folded or kept, the outputs are right, whatever the sign of the gains."""
    if isinstance(pool, nn.Fold):
        model = model_of(lambda m, x: m.bn(m.pool(m.conv(x).flatten(2)[:, :, :1])), conv=conv(), pool=pool,
                     bn=nn.BatchNorm2d(2))  # fmt: skip
    else:
        channels = 32 if isinstance(pool, nn.PixelUnshuffle) else 8
        model = model_of(lambda m, x: m.bn(m.pool(m.conv(x))), conv=conv(), pool=pool, bn=nn.BatchNorm2d(channels))
    fold(model, SQUARE)


@pytest.mark.parametrize(
    "pool",
    [nn.AvgPool2d(3, 1, 1), nn.MaxPool2d(2), nn.ZeroPad2d(1), nn.Upsample(scale_factor=2), nn.ChannelShuffle(2)],
    ids=lambda layer: repr(layer)[:60],
)
def test_layers_between_norm_and_convolution(pool: nn.Module) -> None:
    model = model_of(
        lambda m, x: m.conv(m.pool(m.bn(x.tanh()))), conv=nn.Conv2d(8, 4, 1), pool=pool, bn=nn.BatchNorm2d(8)
    )
    fold(model, SQUARE)


def test_the_signs_are_read_when_folding_and_not_when_planning_alone() -> None:
    """Max-pooling lets a scale through only where all of it is positive."""
    model = model_of(lambda m, x: m.bn(F.max_pool2d(m.conv(x), 2)), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="max_pool2d")
    model.bn.weight.data.abs_()
    assert_folds(model, SQUARE)
