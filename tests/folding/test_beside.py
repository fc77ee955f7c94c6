"""A BatchNorm on a skip connection beside a convolution, as RepVGG has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.folding.layers import CONV, NORM, SQUARE, affines, conv, model_of, ranks, value
from tests.folding.proof import assert_folds, fold


@pytest.mark.parametrize("groups", [1, 4, 8])
@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: (m.bn3(m.conv3(x)) + m.bn1(m.conv1(x)) + m.bn(x)).relu(),
        lambda m, x: (m.bn(x) + m.bn3(m.conv3(x)) + m.bn1(m.conv1(x))).relu(),
        lambda m, x: sum([m.bn(x), m.bn3(m.conv3(x)), m.bn1(m.conv1(x))]).relu(),
        lambda m, x: sum(layer(x) for layer in (lambda v: m.bn3(m.conv3(v)), lambda v: m.bn1(m.conv1(v)), m.bn)),
        lambda m, x: m.bn3(m.conv3(x)).add_(m.bn1(m.conv1(x))).add_(m.bn(x)).relu_(),
        lambda m, x: m.bn(x).contiguous() + (m.bn1(m.conv1(x)) + m.bn3(m.conv3(x))),
    ],
    ids=["last", "first", "sum", "sum_of_generator", "in_place", "contiguous"],
)
def test_branches_of_repvgg(compute: Callable[..., Any], groups: int) -> None:
    layers = model_of(
        lambda m, x: compute(m, x.tanh()),
        conv3=nn.Conv2d(8, 8, 3, padding=1, groups=groups, bias=False), bn3=nn.BatchNorm2d(8),
        conv1=nn.Conv2d(8, 8, 1, groups=groups, bias=False), bn1=nn.BatchNorm2d(8),
        bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_folds(layers, value())


@ranks
@affines
def test_one_convolution_beside_the_norm(rank: int, affine: bool) -> None:
    layers = model_of(
        lambda m, x: _beside(m, x.tanh()),
        conv=CONV[rank](8, 8, 5, padding=4, dilation=2), bn=NORM[rank](8, affine=affine),
    )  # fmt: skip
    assert_folds(layers, value(rank))


def _beside(m: nn.Module, x: Tensor) -> Tensor:
    return m.conv(x) + m.bn(x)


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: m.conv(x) + m.drop(m.bn(x)),
        lambda m, x: m.drop(m.conv(x)) + m.bn(x),
        lambda m, x: m.conv(m.drop(x)) + m.bn(x),
        lambda m, x: m.conv(x) + m.bn(m.drop(x)),
        lambda m, x: m.conv(x) - m.bn(x),
        lambda m, x: m.bn(x) - m.conv(x),
        lambda m, x: x - (m.conv(x) - m.bn(x)),
        lambda m, x: (x + m.conv(x)) + m.bn(x),
    ],
)
def test_beside_a_convolution(compute: Callable[..., Any]) -> None:
    layers = model_of(
        lambda m, x: compute(m, x.tanh()),
        conv=nn.Conv2d(8, 8, 3, padding=1, groups=2), drop=nn.Dropout(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_folds(layers, value())


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: m.bn(m.bn2(m.conv(x)) + m.other(x) + x),
        lambda m, x: m.bn(x + m.bn2(m.conv(x)) + m.other(x)),
        lambda m, x: m.bn(m.conv(x) - x + m.bn2(m.other(x))),
        lambda m, x: m.bn(m.bn2(m.conv(x)) - (m.other(x) - x)),
        lambda m, x: m.bn(m.conv(x) + m.bn2(x) + x + m.drop(x)),
        lambda m, x: m.bn((m.bn2(m.conv(x)) + x).narrow(1, 0, 8)),
    ],
)
def test_a_norm_behind_the_sum_of_a_convolution_and_its_input(compute: Callable[..., Any]) -> None:
    """RepViT's token mixer: the skip connection itself has no weight to take the scale, the kernel beside it has."""
    layers = model_of(
        lambda m, x: compute(m, x.tanh()),
        conv=nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), bn2=nn.BatchNorm2d(8),
        other=nn.Conv2d(8, 8, 1, groups=8), drop=nn.Dropout(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_folds(layers, value())


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: m.bn(x - m.conv(x)),
        lambda m, x: m.bn(m.conv(x).transpose(2, 3) + x),
        lambda m, x: m.bn(m.conv(x.flip(2)) + x),
        lambda m, x: m.bn(m.conv(x) + x) + m.conv(x),
        lambda m, x: m.bn(m.conv(x).relu() + x),
        lambda m, x: m.bn(m.conv(x).long().to(x.dtype) + x),
        lambda m, x: m.bn(m.conv(x.long().to(x.dtype)) + x),
        lambda m, x: m.bn(m.conv(x).add_(x).add_(x)),
        lambda m, x: (m.bn(x.add_(m.conv(x))), x),
    ],
)
def test_a_skip_connection_that_the_kernel_beside_it_cannot_take(compute: Callable[..., Any]) -> None:
    """Folded or kept, the outputs are right."""
    fold(model_of(lambda m, x: compute(m, x.tanh()), conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_two_norms_beside_one_convolution() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        x = x.tanh()
        return m.bn(x) + m.conv(x) + m.bn2(x)

    layers = model_of(compute, conv=nn.Conv2d(8, 8, 3, padding=1), bn=nn.BatchNorm2d(8), bn2=nn.BatchNorm2d(8))
    assert_folds(layers, value())


@pytest.mark.parametrize(
    "beside",
    [
        lambda m, x: m.conv(x).transpose(2, 3) + m.bn(x),
        lambda m, x: m.conv(x).flip(2) + m.bn(x),
        lambda m, x: m.conv(x).roll(1, 3) + m.bn(x),
        lambda m, x: m.conv(x).transpose(1, 2) + m.bn(x),
        lambda m, x: m.conv(x) + m.bn(x).transpose(2, 3),
        lambda m, x: m.conv(x) + m.bn(x).transpose(1, 2),
        lambda m, x: m.conv(x) + m.bn(x).flip(1),
        lambda m, x: m.conv(x) - m.bn(x),
        lambda m, x: m.bn(x) - m.conv(x),
        lambda m, x: m.conv(x) * m.bn(x),
        lambda m, x: torch.add(m.conv(x), m.bn(x), alpha=2),
        lambda m, x: m.conv(x).relu() + m.bn(x),
        lambda m, x: m.conv(x + 1) + m.bn(x),
        lambda m, x: m.conv(x) + m.bn(x + 1),
        lambda m, x: (m.conv(x) + m.bn(x)) + m.bn(x),
        lambda m, x: m.conv(x) + m.bn(x) + x,
        lambda m, x: (m.conv(x) + m.bn(x)) * (m.bn(x)),
        lambda m, x: (m.conv(x), m.conv(x) + m.bn(x)),
        lambda m, x: F.avg_pool2d(m.conv(x), 3, 1, 1) + m.bn(x),
        lambda m, x: F.pad(m.conv(x)[:, :, 1:, 1:], (1, 0, 1, 0)) + m.bn(x),
    ],
)
@pytest.mark.parametrize("layer", ["centred", "pointwise", "grouped", "dilated", "circular"])
def test_a_norm_on_a_skip_connection(beside: Callable[..., Any], layer: str) -> None:
    """Folded or kept, the outputs are right."""
    convolution = {
        "centred": nn.Conv2d(8, 8, 3, padding=1),
        "pointwise": nn.Conv2d(8, 8, 1),
        "grouped": nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False),
        "dilated": nn.Conv2d(8, 8, 3, padding=2, dilation=2),
        "circular": nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"),
    }[layer]
    fold(model_of(lambda m, x: beside(m, x.tanh()), conv=convolution, bn=nn.BatchNorm2d(8)), SQUARE)


@pytest.mark.parametrize("arguments", [{"kernel_size": 2, "padding": "same"}, {"kernel_size": 3, "padding": "same"}])
def test_a_norm_beside_a_convolution_with_named_padding(arguments: dict[str, Any]) -> None:
    model = model_of(lambda m, x: m.conv(x) + m.bn(x), conv=nn.Conv2d(8, 8, **arguments), bn=nn.BatchNorm2d(8))
    fold(model, SQUARE)
