"""Axes that agree in size only: folded or kept, the outputs are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import assert_kept, fold, images


def test_a_linear_layer_over_length_and_a_norm_over_channels() -> None:
    """Linear → BatchNorm1d on (N, C, L) with C = L: the features of the layer are not the channels of the norm."""
    model = model_of(lambda m, x: m.bn(m.linear(x)), linear=nn.Linear(8, 8), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(4, 8, 8), words="not the features of linear")


def test_a_norm_over_steps_before_a_linear_layer() -> None:
    model = model_of(lambda m, x: m.linear(m.bn(x)), linear=nn.Linear(8, 8), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(4, 8, 8), words="not the features of linear")


@pytest.mark.parametrize(
    "between",
    [
        lambda y: y.transpose(1, 2),
        lambda y: y.permute(0, 3, 2, 1),
        lambda y: y.flip(1),
        lambda y: y.roll(1, 1),
        lambda y: y.roll(3),
        lambda y: y.rot90(1, (1, 2)),
        lambda y: y.movedim(1, 2),
        lambda y: y.swapaxes(1, 3),
        lambda y: y.mT.transpose(1, 3),
        lambda y: F.channel_shuffle(y, 4),
        lambda y: y[:, torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])],
        lambda y: y[:, [7, 6, 5, 4, 3, 2, 1, 0]],
        lambda y: y.index_select(1, torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])),
        lambda y: y.gather(1, torch.zeros_like(y, dtype=torch.int64)),
        lambda y: y.sort(1)[0],
        lambda y: y.cumsum(1),
        lambda y: y.reshape(2, 4, 2, 8, 8).transpose(1, 2).reshape(2, 8, 8, 8),
        lambda y: y.reshape(8, 2, 8, 8).transpose(0, 1),
        lambda y: y.reshape(-1).reshape(8, 8, 8, 2).permute(3, 0, 1, 2),
        lambda y: y.mean(1, keepdim=True).expand(2, 8, 8, 8),
        lambda y: y[:, :1].expand(2, 8, 8, 8),
        lambda y: y[:, :1].repeat(1, 8, 1, 1),
        lambda y: y[:, ::2].repeat_interleave(2, 1),
        lambda y: y[:, :4].repeat(1, 2, 1, 1),
        lambda y: y.as_strided((2, 8, 8, 8), (512, 1, 64, 8)),
        lambda y: y.to(torch.int64).to(y.dtype),
        lambda y: y.unflatten(1, (2, 4)).flatten(1, 2),
        lambda y: y.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2),
        lambda y: y.diagonal(dim1=1, dim2=2).unsqueeze(1).expand(2, 8, 8, 8).transpose(1, 2),
        lambda y: F.pixel_unshuffle(y[:, :2], 2)[:, :, :2, :2],
        lambda y: F.pixel_unshuffle(F.pixel_shuffle(y, 2), 2),
        lambda y: torch.stack([y[:, 0]] * 8, 1),
        lambda y: torch.cat([y[:, 4:], y[:, :4]], 1),
        lambda y: torch.cat(y.chunk(2, 1)[::-1], 1),
        lambda y: torch.stack(y.unbind(2), 1),
        lambda y: torch.cat(y.split([3, 5], 2), 2),
        lambda y: F.adaptive_avg_pool3d(y, (8, 4, 4)),
        lambda y: F.avg_pool3d(y, 3, 1, 1, count_include_pad=False),
        lambda y: F.interpolate(y.transpose(1, 2), scale_factor=(1, 2))[..., ::2].transpose(1, 2),
        lambda y: F.unfold(y, 1).view(2, 8, 8, 8),
        lambda y: F.pad(y, (1, 1)),
        lambda y: F.normalize(y, dim=1),
        lambda y: torch.narrow(y, 1, 0, 8),
    ],
)  # fmt: skip
def test_the_channels_are_moved_on_the_way(between: Callable[[Tensor], Tensor]) -> None:
    """All axes have one size; folded or kept, the outputs are right."""
    fold(model_of(lambda m, x: m.bn(between(m.conv(x))), conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


@pytest.mark.parametrize(
    "between",
    [
        lambda y: y.transpose(1, 2),
        lambda y: y.flip(1),
        lambda y: y.roll(1, 1),
        lambda y: y.transpose(dim0=2, dim1=3),
        lambda y: F.channel_shuffle(y, 4),
        lambda y: y.reshape(2, 4, 2, 8, 8).transpose(1, 2).reshape(2, 8, 8, 8),
        lambda y: F.pad(y, (1, 1, 1, 1)),
        lambda y: F.avg_pool2d(y, 3, 1, 1),
        lambda y: F.max_pool2d(y, 3, 1, 1),
        lambda y: y.mean(1, keepdim=True).expand(2, 8, 8, 8),
        lambda y: y[:, :4].repeat(1, 2, 1, 1),
        lambda y: y.cumsum(1),
        lambda y: F.pixel_unshuffle(y[:, :2], 2),
        lambda y: F.pixel_shuffle(y, 2).repeat(1, 4, 1, 1),
        lambda y: y * 2,
        lambda y: y + 1,
    ],
)
def test_the_channels_are_moved_between_norm_and_convolution(between: Callable[[Tensor], Tensor]) -> None:
    model = model_of(lambda m, x: m.conv(between(m.bn(x.tanh()))), conv=nn.Conv2d(8, 6, 1), bn=nn.BatchNorm2d(8))
    fold(model, SQUARE)


@pytest.mark.parametrize("axes", [1, (1,), (1, 2), -2, (-3,), (0,), (0, 1), (2, 3), 3])
@pytest.mark.parametrize("keepdim", [False, True])
def test_a_mean_over_axes(axes: Any, keepdim: bool) -> None:
    """A mean over the channels leaves an axis of the same size in their place."""
    value = images(8, 8, 8, 8)
    expanded = model_of(
        lambda m, x: m.bn(m.conv(x).mean(axes, keepdim=keepdim).expand(8, *[8] * (3 if keepdim else 1))),
        conv=conv(), bn=nn.BatchNorm2d(8) if keepdim else nn.BatchNorm1d(8),
    )  # fmt: skip
    rank = value.mean(axes).dim()
    if keepdim or rank == 2:
        fold(expanded, value)
    elif rank == 3:
        fold(model_of(lambda m, x: m.bn(m.conv(x).mean(axes)), conv=conv(), bn=nn.BatchNorm1d(8)), value)


def test_a_convolution_without_a_batch_axis() -> None:
    """The output is (C, H, W), and BatchNorm1d takes H for the channels."""
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(8, 8, 8), words="conv")


def test_a_convolution_of_one_dimension_without_a_batch_axis() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=nn.Conv1d(8, 8, 1), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(8, 8), words="conv")


def test_a_norm_before_a_convolution_without_a_batch_axis() -> None:
    model = model_of(lambda m, x: m.conv(m.bn(x.tanh())), conv=nn.Conv1d(8, 8, 1), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(8, 8), words="conv")


def test_an_instance_norm_without_a_batch_axis() -> None:
    model = model_of(lambda m, x: m.bn(m.norm(x)), norm=nn.InstanceNorm2d(8, affine=True), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(8, 8, 8), words="norm")


def test_a_pooling_without_a_batch_axis() -> None:
    model = model_of(
        lambda m, x: m.bn(F.avg_pool2d(m.conv(x).squeeze(0), 3, 1)), conv=nn.Conv2d(8, 6, 1), bn=nn.BatchNorm1d(6)
    )
    fold(model, images(1, 8, 8, 8))


def test_an_upsampling_of_the_channels() -> None:
    """To three-dimensional pooling and interpolation, (C, H, W) behind an added axis is one channel of a volume."""
    model = model_of(
        lambda m, x: m.bn(F.interpolate(m.conv(x).unsqueeze(1), size=(8, 4, 4)).squeeze(1)),
        conv=conv(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    fold(model, SQUARE)
    volume = model_of(
        lambda m, x: m.bn(F.avg_pool3d(m.conv(x).unsqueeze(1), 3, 1, 1, count_include_pad=False).squeeze(1)),
        conv=conv(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    fold(volume, SQUARE)


def test_the_output_of_a_norm_on_an_expanded_value_is_written_to() -> None:
    """BatchNorm makes a value of its own; without it the expanded value, one place for many, would be written to."""
    expanded = model_of(
        lambda m, x: F.relu(m.bn(m.conv(x.mean((2, 3), keepdim=True)).expand(-1, -1, 4, 4)), inplace=True),
        conv=nn.Conv2d(8, 8, 1), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(expanded, SQUARE, words="its input is expanded")


def test_a_layer_norm_over_two_axes() -> None:
    model = model_of(lambda m, x: m.bn(m.norm(x)), norm=nn.LayerNorm((8, 8)), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="norm")


def test_a_layer_norm_over_width() -> None:
    model = model_of(lambda m, x: m.bn(m.norm(x)), norm=nn.LayerNorm(8), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="norm")


def test_a_root_mean_square_norm_has_no_shift() -> None:
    model = model_of(lambda m, x: m.bn(m.norm(x).transpose(1, 3)), norm=nn.RMSNorm(8), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="norm")
