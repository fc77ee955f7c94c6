"""A BatchNorm before each layer that can take it: folded, and right.

Nothing is kept, and the outputs are those of the original in float64. Statistics are those of
`awkward`: gains of both signs, a variance of 1e-6 and one of 100. Tolerances, relative to the largest value of an
output: 1e-10 folded and run in float64, 2e-5 in float32 (see `tests.folding.proof`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from tests.folding.layers import CONV, NORM, affines, biases, groupings, model_of, ranks, value
from tests.folding.proof import Chain, assert_folds, awkward, images


@biases
@affines
def test_norm_before_linear(bias: bool, affine: bool) -> None:
    layers = Chain(
        activation=nn.Tanh(), bn=nn.BatchNorm1d(8, affine=affine), drop=nn.Dropout(), linear=nn.Linear(8, 6, bias)
    )
    assert_folds(awkward(layers), images(4, 8))


@ranks
@biases
@affines
@groupings
@pytest.mark.parametrize("kernel", [1, 3])
def test_norm_before_convolution(rank: int, bias: bool, affine: bool, groups: int, kernel: int) -> None:
    conv = CONV[rank](8, 16, kernel, groups=groups, bias=bias)
    assert_folds(awkward(Chain(activation=nn.Tanh(), bn=NORM[rank](8, affine=affine), conv=conv)), value(rank))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_norm_before_a_convolution_that_pads_with_its_own_values(mode: str) -> None:
    conv = nn.Conv2d(8, 6, 3, padding=1, padding_mode=mode)
    assert_folds(awkward(Chain(activation=nn.Tanh(), bn=nn.BatchNorm2d(8), conv=conv)), value())


def test_norm_before_a_convolution_with_valid_padding() -> None:
    conv = nn.Conv2d(8, 6, 3, padding="valid")
    assert_folds(awkward(Chain(activation=nn.Tanh(), bn=nn.BatchNorm2d(8), conv=conv)), value())


def test_all_readers_take_it() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.bn(x.tanh())
        return m.first(y), m.second(y), m.third(y.mean((2, 3)))

    layers = model_of(
        compute,
        bn=nn.BatchNorm2d(8), first=nn.Conv2d(8, 4, 1), second=nn.Conv2d(8, 6, 3, groups=2), third=nn.Linear(8, 3),
    )  # fmt: skip
    assert assert_folds(layers, value()).folds[0].into == ("first", "second", "third")


DOWNSTREAM: dict[str, tuple[Callable[[Tensor], Tensor], nn.Module]] = {
    "global_mean": (lambda y: y.mean((2, 3)), nn.Linear(8, 4)),
    "mean_of_one_axis": (lambda y: y.mean(-1), nn.Conv1d(8, 4, 1)),
    "adaptive_average": (lambda y: F.adaptive_avg_pool2d(y, 1).flatten(1), nn.Linear(8, 4)),
    "average": (lambda y: F.avg_pool2d(y, 2), nn.Conv2d(8, 4, 1)),
    "tokens": (lambda y: y.flatten(2).transpose(1, 2), nn.Linear(8, 4)),
    "channels_last": (lambda y: y.permute(0, 2, 3, 1), nn.Linear(8, 4)),
    "bilinear": (lambda y: F.interpolate(y, scale_factor=2, mode="bilinear"), nn.Conv2d(8, 4, 1)),
    "nearest": (lambda y: F.interpolate(y, scale_factor=2), nn.Conv2d(8, 4, 1)),
    "dropout": (lambda y: F.dropout(y, 0.5, False), nn.Conv2d(8, 4, 1)),
}


@pytest.mark.parametrize("way", DOWNSTREAM)
def test_on_the_way_to_a_reader(way: str) -> None:
    move, carrier = DOWNSTREAM[way]
    chain = Chain(activation=nn.Tanh(), bn=nn.BatchNorm2d(8), move=move, carrier=copy.deepcopy(carrier))
    assert_folds(awkward(chain), value())
