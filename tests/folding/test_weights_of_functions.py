"""Functions that are called with the weight of a layer: folded or kept, the outputs are right.

The layer keeps the weight, and only the call says how it is used.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import assert_folds, assert_kept, fold, images


def test_a_transposed_convolution_with_the_weight_of_a_convolution() -> None:
    """The axes of the weight change places; with as many inputs as outputs no shape shows it."""
    model = model_of(
        lambda m, x: m.bn(F.conv_transpose2d(x, m.conv.weight, m.conv.bias, padding=1)),
        conv=conv(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="conv_transpose2d is called with the weight of conv, a Conv2d")


def test_a_convolution_with_the_weight_of_a_transposed_convolution() -> None:
    model = model_of(
        lambda m, x: m.bn(F.conv2d(x, m.conv.weight, m.conv.bias, padding=1)),
        conv=nn.ConvTranspose2d(8, 8, 3), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="conv2d is called with the weight of conv, a ConvTranspose2d")


def test_a_product_that_takes_the_weight_for_its_input() -> None:
    model = model_of(
        lambda m, x: m.bn(torch.addmm(m.bias.weight, m.linear.weight, x)),
        linear=nn.Linear(8, 8, bias=False), bias=nn.Linear(8, 8, bias=False), bn=nn.BatchNorm1d(8),
    )  # fmt: skip
    assert_kept(model, images(8, 8), words="addmm is called with the weight of linear")


def test_a_call_that_pads_where_the_layer_does_not() -> None:
    model = model_of(
        lambda m, x: F.conv2d(m.bn(x.tanh()), m.conv.weight, m.conv.bias, padding=1),
        conv=nn.Conv2d(8, 8, 3), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="pads with zeros")


@pytest.mark.parametrize("padding", [0, (0, 0), "valid"])
def test_a_call_that_does_not_pad_where_the_layer_does(padding: int | str) -> None:
    model = model_of(
        lambda m, x: F.conv2d(m.bn(x.tanh()), m.conv.weight, m.conv.bias, padding=padding),
        conv=nn.Conv2d(8, 8, 3, padding=1), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_folds(model, SQUARE)


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_skip_connection_beside_a_call_with_other_numbers(dilation: int) -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        x = x.tanh()
        return F.conv2d(x, m.conv.weight, m.conv.bias, 1, 2, dilation)[:, :, :8, :8] + m.bn(x)

    fold(model_of(compute, conv=nn.Conv2d(8, 8, 3), bn=nn.BatchNorm2d(8)), SQUARE)


def test_a_call_with_the_bias_of_another_layer() -> None:
    model = model_of(
        lambda m, x: m.bn(F.conv2d(x, m.conv.weight, m.other.bias)),
        conv=nn.Conv2d(8, 8, 3), other=nn.Linear(3, 8), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="another bias")


@pytest.mark.parametrize("bias", [False, True])
def test_a_call_without_a_bias(bias: bool) -> None:
    """A bias that folding gives to the layer would not reach the call."""
    model = model_of(
        lambda m, x: m.bn(F.conv2d(x, m.conv.weight, None)),
        conv=nn.Conv2d(8, 8, 3, bias=bias), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="uses no bias")


def test_a_product_with_the_transposed_weight_elsewhere() -> None:
    model = model_of(
        lambda m, x: m.bn(m.linear(x).movedim(-1, 1)) + x @ m.linear.weight.T,
        linear=nn.Linear(8, 8), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="linear.weight is read elsewhere")


def test_a_sum_over_indices_with_a_weight() -> None:
    model = model_of(
        lambda m, x: m.bn(torch.einsum("nchw,oc->nohw", x, m.linear.weight)),
        linear=nn.Linear(8, 8), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="matmul")
