"""What other folders get wrong: each trap gives the same outputs as the original in float64, and says why it stays."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.errors import NotAnalysedError, UsageError
from tests.folding.proof import (
    Chain,
    Model,
    assert_folds,
    assert_kept,
    awkward,
    batch_norms,
    fold,
    images,
    outputs,
    reference,
    relative_error,
)

SQUARE = images(2, 8, 8, 8)
"""Batch apart, every axis has the size of the channels: an axis that only agrees in size does not show in shapes."""


def trap(compute: Callable[..., Any], **layers: nn.Module) -> nn.Module:
    return awkward(Model(compute, **layers))


def conv(channels: int = 8, kernel: int = 3, **arguments: Any) -> nn.Conv2d:
    return nn.Conv2d(8, channels, kernel, padding=kernel // 2, **arguments)


# Sharing


def test_a_convolution_called_twice_with_two_norms() -> None:
    """pytorch/pytorch#104593, #197539."""
    model = trap(
        lambda m, x: m.bn(m.conv(x)) + m.other(m.conv(x.flip(3))),
        conv=conv(), bn=nn.BatchNorm2d(8), other=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="conv is called 2")
    assert_kept(model, SQUARE, layer="other", words="conv is called 2")


def test_a_convolution_called_twice_and_normalised_once() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)) + m.conv(x.flip(3)), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="conv is called 2")


def test_one_convolution_and_one_norm_called_on_two_streams_agree() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)) + m.bn(m.conv(x.flip(3))).relu(), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_folds(model, SQUARE)


def test_a_convolution_called_in_a_loop_on_its_own_normalised_output() -> None:
    def loop(m: nn.Module, x: Tensor) -> Tensor:
        for _ in range(3):
            x = m.bn(m.conv(x)).relu()
        return x

    assert_folds(trap(loop, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_a_norm_called_twice_on_the_output_of_one_call() -> None:
    def twice(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.bn(y) + m.bn(y.relu())

    assert_kept(trap(twice, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="used elsewhere")


def test_a_norm_called_twice_in_a_row() -> None:
    model = trap(lambda m, x: m.bn(m.bn(m.conv(x))), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="called 2")


def test_a_weight_read_elsewhere() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)) + m.conv.weight.norm(), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="conv.weight is read elsewhere")


def test_a_bias_read_elsewhere() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)) + m.conv.bias.sum(), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="conv.bias is read elsewhere")


def test_statistics_read_elsewhere() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)) + m.bn.running_mean.sum(), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="bn.running_mean is read elsewhere")


def test_every_parameter_read_by_a_penalty() -> None:
    model = trap(
        lambda m, x: (m.bn(m.conv(x)), sum(p.square().sum() for p in m.parameters())), conv=conv(), bn=nn.BatchNorm2d(8)
    )
    assert_kept(model, SQUARE, words="read elsewhere")


def test_two_convolutions_that_share_a_weight() -> None:
    model = trap(
        lambda m, x: m.bn(m.conv(x)) + m.other(x), conv=conv(bias=False), other=conv(bias=False), bn=nn.BatchNorm2d(8)
    )
    model.other.weight = model.conv.weight
    assert_kept(model, SQUARE, words="conv.weight is shared with other")


def test_a_weight_that_is_a_view_of_another() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)) + m.other(x), conv=conv(), other=conv(), bn=nn.BatchNorm2d(8))
    model.other.weight = nn.Parameter(model.conv.weight.detach().flip(0)[:].view_as(model.conv.weight))
    model.conv.weight = nn.Parameter(model.other.weight.detach()[:])
    expected = reference(model, (SQUARE,))
    result = bnlint.fold(model, (SQUARE,))
    assert "shared with other" in result.kept[0].reason
    assert relative_error(expected, outputs(result.model, (SQUARE,))) < 1e-5


def test_a_linear_layer_tied_with_an_embedding() -> None:
    model = trap(
        lambda m, x: m.bn(m.linear(m.embedding(x)).transpose(1, 2)),
        embedding=nn.Embedding(5, 8), linear=nn.Linear(8, 5, bias=False), bn=nn.BatchNorm1d(5),
    )  # fmt: skip
    model.linear.weight = model.embedding.weight
    assert_kept(model, torch.arange(10).view(2, 5) % 5, words="linear.weight is shared with embedding")


def test_a_norm_on_an_embedding_tied_with_the_head() -> None:
    model = trap(
        lambda m, x: m.head(m.bn(m.embedding(x).transpose(1, 2)).relu().transpose(1, 2)),
        embedding=nn.Embedding(5, 8), bn=nn.BatchNorm1d(8), head=nn.Linear(8, 5),
    )  # fmt: skip
    model.head.weight = model.embedding.weight
    assert_kept(model, torch.arange(10).view(2, 5) % 5, words="embedding.weight is shared with head")


def test_two_norms_that_share_their_statistics() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)) + m.other(x), conv=conv(), bn=nn.BatchNorm2d(8), other=nn.BatchNorm2d(8))
    model.other.running_mean = model.bn.running_mean
    expected = reference(model, (SQUARE,))
    result = bnlint.fold(model, (SQUARE,))
    assert "bn.running_mean is shared with other" in result.kept[0].reason
    assert relative_error(expected, outputs(result.model, (SQUARE,))) < 1e-5


def test_a_norm_registered_under_two_names() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)).relu(), conv=conv(), bn=nn.BatchNorm2d(8))
    model.also = model.bn
    result = assert_folds(model, SQUARE)
    assert type(result.model.bn) is type(result.model.also) is nn.Identity


def test_a_convolution_registered_under_two_names_and_called_by_both() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)) + m.also(x), conv=conv(), bn=nn.BatchNorm2d(8))
    model.also = model.conv
    assert_kept(model, SQUARE, words="called 2")


def test_a_block_registered_under_two_names_and_called_by_one() -> None:
    block = nn.Sequential(conv(), nn.BatchNorm2d(8))
    assert_folds(trap(lambda m, x: m.second(x), first=block, second=block), SQUARE)


# Values that other code sees


def test_an_output_used_twice() -> None:
    def residual(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.bn(y) + y

    assert_kept(trap(residual, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="output of conv is used elsewhere")


def test_an_output_that_is_also_an_output_of_the_model() -> None:
    def both(m: nn.Module, x: Tensor) -> Any:
        y = m.conv(x)
        return {"features": [y], "normalised": m.bn(y)}

    assert_kept(trap(both, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="used elsewhere")


def test_a_concatenation_of_which_one_part_is_used_elsewhere() -> None:
    def concatenate(m: nn.Module, x: Tensor) -> Any:
        first, second = m.first(x), m.second(x)
        return m.bn(torch.cat([first, second], 1)), second

    model = trap(concatenate, first=conv(), second=conv(), bn=nn.BatchNorm2d(16))
    assert_kept(model, SQUARE, words="output of second is used elsewhere")


def test_a_concatenation_with_the_input() -> None:
    model = trap(lambda m, x: m.bn(torch.cat([m.conv(x), x], 1)), conv=conv(), bn=nn.BatchNorm2d(16))
    assert_kept(model, SQUARE, words="")


def test_a_concatenation_of_one_value_with_itself() -> None:
    def double(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.bn(torch.cat([y, y], 1))

    assert_kept(trap(double, conv=conv(), bn=nn.BatchNorm2d(16)), SQUARE, words="conv")


def test_a_sum_of_a_value_with_itself() -> None:
    def double(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.bn(y + y)

    fold(trap(double, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_a_sum_that_broadcasts() -> None:
    model = trap(
        lambda m, x: m.bn(m.conv(x) + m.gate(x.mean((2, 3), keepdim=True))),
        conv=conv(), gate=nn.Conv2d(8, 8, 1), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    fold(model, SQUARE)


def test_a_weighted_sum() -> None:
    model = trap(
        lambda m, x: m.bn(torch.add(m.conv(x), m.other(x), alpha=0.5)), conv=conv(), other=conv(), bn=nn.BatchNorm2d(8)
    )
    fold(model, SQUARE)


def test_a_difference_is_no_sum() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x) - m.other(x)), conv=conv(), other=conv(), bn=nn.BatchNorm2d(8))
    fold(model, SQUARE)


def test_a_sum_with_a_constant() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x) + 1.5), conv=conv(), bn=nn.BatchNorm2d(8))
    fold(model, SQUARE)


def test_an_activation_in_place_on_a_value_used_elsewhere() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        z = m.bn(y)
        return y.relu_() + z

    assert_kept(trap(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="conv")


def test_a_change_in_place_between_convolution_and_norm() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        y.clamp_(min=0)
        return m.bn(y)

    fold(trap(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_a_change_in_place_through_a_view() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        y[:, 0] = 3
        return m.bn(y)

    fold(trap(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_a_change_in_place_of_a_flat_view_before_the_norm() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        y.view(-1).abs_()
        return m.bn(y)

    fold(trap(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_the_input_of_a_norm_is_changed_in_place_after_it() -> None:
    """Without the BatchNorm its output is its input: the change would reach the linear layer."""

    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        x = x.tanh()
        y = m.bn(x)
        x.relu_()
        return m.head(y) + x.sum()

    fold(trap(in_place, bn=nn.BatchNorm1d(8), head=nn.Linear(8, 3)), images(4, 8))


def test_the_input_of_a_norm_on_a_skip_connection_is_changed_in_place_after_it() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        x = x.tanh()
        skip, y = m.bn(x), m.conv(x)
        x.relu_()
        return y + skip + x.sum()

    fold(trap(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_the_skip_connection_is_summed_in_place() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Any:
        x = x.tanh()
        skip = m.bn(x)
        skip += m.conv(x)
        return skip, x

    fold(trap(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_an_activation_in_place_behind_a_norm_that_folds_downstream() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Any:
        x = x.tanh()
        y = m.bn(x)
        z = m.head(y)
        y.relu_()
        return z, y, x

    fold(trap(in_place, bn=nn.BatchNorm1d(8), head=nn.Linear(8, 3)), images(4, 8))


def test_the_input_of_the_model_is_not_written_to_by_a_folded_model() -> None:
    model = trap(lambda m, x: F.relu(m.bn(x), inplace=True), bn=nn.BatchNorm1d(8))
    result = fold(model, images(4, 8))
    given = images(4, 8)
    result.model(given)
    assert torch.equal(given, images(4, 8))


# Axes that agree in size only


def test_a_linear_layer_over_length_and_a_norm_over_channels() -> None:
    """Linear → BatchNorm1d on (N, C, L) with C = L: the features of the layer are not the channels of the norm."""
    model = trap(lambda m, x: m.bn(m.linear(x)), linear=nn.Linear(8, 8), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(4, 8, 8), words="not the features of linear")


def test_a_norm_over_steps_before_a_linear_layer() -> None:
    model = trap(lambda m, x: m.linear(m.bn(x)), linear=nn.Linear(8, 8), bn=nn.BatchNorm1d(8))
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
    fold(trap(lambda m, x: m.bn(between(m.conv(x))), conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


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
    model = trap(lambda m, x: m.conv(between(m.bn(x.tanh()))), conv=nn.Conv2d(8, 6, 1), bn=nn.BatchNorm2d(8))
    fold(model, SQUARE)


@pytest.mark.parametrize("axes", [1, (1,), (1, 2), -2, (-3,), (0,), (0, 1), (2, 3), 3])
@pytest.mark.parametrize("keepdim", [False, True])
def test_a_mean_over_axes(axes: Any, keepdim: bool) -> None:
    """A mean over the channels leaves an axis of the same size in their place."""
    value = images(8, 8, 8, 8)
    expanded = trap(
        lambda m, x: m.bn(m.conv(x).mean(axes, keepdim=keepdim).expand(8, *[8] * (3 if keepdim else 1))),
        conv=conv(), bn=nn.BatchNorm2d(8) if keepdim else nn.BatchNorm1d(8),
    )  # fmt: skip
    rank = value.mean(axes).dim()
    if keepdim or rank == 2:
        fold(expanded, value)
    elif rank == 3:
        fold(trap(lambda m, x: m.bn(m.conv(x).mean(axes)), conv=conv(), bn=nn.BatchNorm1d(8)), value)


def test_a_convolution_without_a_batch_axis() -> None:
    """The output is (C, H, W), and BatchNorm1d takes H for the channels."""
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(8, 8, 8), words="conv")


def test_a_convolution_of_one_dimension_without_a_batch_axis() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=nn.Conv1d(8, 8, 1), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(8, 8), words="conv")


def test_a_norm_before_a_convolution_without_a_batch_axis() -> None:
    model = trap(lambda m, x: m.conv(m.bn(x.tanh())), conv=nn.Conv1d(8, 8, 1), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(8, 8), words="conv")


def test_an_instance_norm_without_a_batch_axis() -> None:
    model = trap(lambda m, x: m.bn(m.norm(x)), norm=nn.InstanceNorm2d(8, affine=True), bn=nn.BatchNorm1d(8))
    assert_kept(model, images(8, 8, 8), words="norm")


def test_a_pooling_without_a_batch_axis() -> None:
    model = trap(
        lambda m, x: m.bn(F.avg_pool2d(m.conv(x).squeeze(0), 3, 1)), conv=nn.Conv2d(8, 6, 1), bn=nn.BatchNorm1d(6)
    )
    fold(model, images(1, 8, 8, 8))


def test_an_upsampling_of_the_channels() -> None:
    """To three-dimensional pooling and interpolation, (C, H, W) behind an added axis is one channel of a volume."""
    model = trap(
        lambda m, x: m.bn(F.interpolate(m.conv(x).unsqueeze(1), size=(8, 4, 4)).squeeze(1)),
        conv=conv(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    fold(model, SQUARE)
    volume = trap(
        lambda m, x: m.bn(F.avg_pool3d(m.conv(x).unsqueeze(1), 3, 1, 1, count_include_pad=False).squeeze(1)),
        conv=conv(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    fold(volume, SQUARE)


def test_the_output_of_a_norm_on_an_expanded_value_is_written_to() -> None:
    """BatchNorm makes a value of its own; without it the expanded value, one place for many, would be written to."""
    expanded = trap(
        lambda m, x: F.relu(m.bn(m.conv(x.mean((2, 3), keepdim=True)).expand(-1, -1, 4, 4)), inplace=True),
        conv=nn.Conv2d(8, 8, 1), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(expanded, SQUARE, words="its input is expanded")


def test_a_layer_norm_over_two_axes() -> None:
    model = trap(lambda m, x: m.bn(m.norm(x)), norm=nn.LayerNorm((8, 8)), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="norm")


def test_a_layer_norm_over_width() -> None:
    model = trap(lambda m, x: m.bn(m.norm(x)), norm=nn.LayerNorm(8), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="norm")


def test_a_root_mean_square_norm_has_no_shift() -> None:
    model = trap(lambda m, x: m.bn(m.norm(x).transpose(1, 3)), norm=nn.RMSNorm(8), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="norm")


# Parts


@pytest.mark.parametrize(
    "part",
    [
        lambda y: y.chunk(2, 2)[0],
        lambda y: y.chunk(2, dim=-1)[1],
        lambda y: y.split(4, 3)[0],
        lambda y: y[:, :, :4],
        lambda y: y[:, :, 0::2],
        lambda y: y[:1],
        lambda y: y[..., :4],
        lambda y: y.narrow(2, 0, 4),
        lambda y: y.unbind(0)[0].unsqueeze(0),
    ],
)
def test_a_part_of_the_places_is_normalised_and_the_rest_is_used(part: Callable[[Tensor], Tensor]) -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.conv(x)
        return m.bn(part(y)), y.chunk(2, 2)[1]

    assert_kept(trap(compute, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="")


@pytest.mark.parametrize(
    ("part", "others"),
    [
        (lambda y: y[:, :5], lambda y: y[:, 4:]),
        (lambda y: y[:, :4], lambda y: y[:, ::2]),
        (lambda y: y[:, :4], lambda y: y[:, -5:]),
        (lambda y: y[:, :4], lambda y: y[:, 3]),
        (lambda y: y[:, :4], lambda y: y[:, [3, 4]]),
        (lambda y: y[:, :4], lambda y: y[0]),
        (lambda y: y[:, :4], lambda y: y[:, :, 0]),
        (lambda y: y[:, :4], lambda y: y[..., 0]),
        (lambda y: y[:, :4], lambda y: y[:, None]),
        (lambda y: y[:, :4], lambda y: y.chunk(4, 1)[1]),
        (lambda y: y.chunk(2, 1)[0], lambda y: y.chunk(2, 1)[0]),
        (lambda y: y.chunk(2, 1)[0], lambda y: y[:, 3:5]),
        (lambda y: y[:, ::2], lambda y: y[:, 1::2]),
        (lambda y: y[:, 0:1], lambda y: y[:, 0]),
    ],
)
def test_parts_that_overlap(part: Callable[[Tensor], Tensor], others: Callable[[Tensor], Tensor]) -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.conv(x)
        first = part(y)
        return m.bn(first), others(y)

    count = part(SQUARE).shape[1]
    fold(trap(compute, conv=conv(), bn=nn.BatchNorm2d(count)), SQUARE)


def test_one_half_is_normalised_and_both_are_used() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        first, second = m.conv(x).chunk(2, 1)
        return m.bn(first) * second

    assert_folds(trap(compute, conv=conv(), bn=nn.BatchNorm2d(4)), SQUARE)


def test_one_half_is_normalised_and_used_before_it() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        first, second = m.conv(x).chunk(2, 1)
        return m.bn(first) * second + first

    assert_kept(trap(compute, conv=conv(), bn=nn.BatchNorm2d(4)), SQUARE, words="used elsewhere")


def test_one_half_is_changed_in_place_before_the_other_is_normalised() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.conv(x)
        first, second = y[:, :4], y[:, 4:]
        second.relu_()
        return m.bn(first) * second + m.other(second)

    fold(trap(compute, conv=conv(), bn=nn.BatchNorm2d(4), other=nn.BatchNorm2d(4)), SQUARE)


def test_both_halves_pass_one_norm() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        first, second = m.conv(x).chunk(2, 1)
        return m.bn(first) * m.bn(second)

    fold(trap(compute, conv=conv(), bn=nn.BatchNorm2d(4)), SQUARE)


# Code inside and around the layers


class Doubled(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2 + 1


class Noted(nn.Conv2d):
    """A subclass that only looks."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.dim() == 4
        return super().forward(x)


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Unbiased(nn.Conv2d):
    """Has a bias, and leaves it out."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, None, self.stride, self.padding)


class ClampedNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).clamp(-1, 1)


class ResidualNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x


class ShiftedEpsNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.1, 0.5)


class NormWithoutAffine(nn.BatchNorm2d):
    """Has a scale and a shift, and leaves them out."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, None, None, False, 0.1, self.eps)


class ScaledInputNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * 2)


@pytest.mark.parametrize("layer", [Doubled, Noted, Standardised, Unbiased])
def test_a_convolution_with_a_forward_of_its_own(layer: type[nn.Conv2d]) -> None:
    fold(trap(lambda m, x: m.bn(m.conv(x)), conv=layer(8, 8, 3, padding=1), bn=nn.BatchNorm2d(8)), SQUARE)


@pytest.mark.parametrize(
    "layer", [ClampedNorm, ResidualNorm, ShiftedEpsNorm, NormWithoutAffine, ScaledInputNorm]
)  # fmt: skip
def test_a_norm_with_a_forward_of_its_own(layer: type[nn.BatchNorm2d]) -> None:
    fold(trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=layer(8)), SQUARE)
    fold(trap(lambda m, x: m.head(m.bn(x.tanh())), bn=layer(8), head=nn.Conv2d(8, 4, 1)), SQUARE)


def test_a_hook_on_the_convolution() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    model.conv.register_forward_hook(lambda module, args, output: output * 2)
    assert_kept(model, SQUARE, words="conv has a forward hook")


def test_a_hook_on_the_norm() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    model.bn.register_forward_hook(lambda module, args, output: output.abs())
    assert_kept(model, SQUARE, words="bn has a forward hook")


def test_a_hook_before_the_norm() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    model.bn.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    assert_kept(model, SQUARE, words="bn has a forward hook")


def test_a_hook_on_a_layer_between() -> None:
    model = trap(lambda m, x: m.bn(m.between(m.conv(x))), conv=conv(), between=nn.Dropout(), bn=nn.BatchNorm2d(8))
    model.between.register_forward_hook(lambda module, args, output: output + 1)
    fold(model, SQUARE)


def test_a_hook_on_the_container_of_the_convolution() -> None:
    model = trap(lambda m, x: m.bn(m.block(x)), block=nn.Sequential(conv()), bn=nn.BatchNorm2d(8))
    model.block.register_forward_hook(lambda module, args, output: output.abs())
    fold(model, SQUARE)


def test_a_hook_that_collects_features_before_the_norm() -> None:
    """What a hook on the container of the convolution sees is what the rest of the model must not change."""
    seen: list[Tensor] = []
    model = trap(lambda m, x: m.bn(m.block(x)), block=nn.Sequential(conv()), bn=nn.BatchNorm2d(8))
    model.block.register_forward_hook(lambda module, args, output: seen.append(output))
    model(SQUARE)
    expected = seen[-1].detach().clone()
    result = bnlint.fold(model, (SQUARE,))
    result.model(SQUARE)
    assert torch.equal(seen[-1], expected)
    assert "block has a forward hook" in result.kept[0].reason


def test_a_parametrised_convolution() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    nn.utils.parametrizations.weight_norm(model.conv)
    assert_kept(model, SQUARE, words="parametrised")


def test_a_convolution_with_spectral_norm() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    nn.utils.parametrizations.spectral_norm(model.conv)
    assert_kept(model.eval(), SQUARE, words="parametrised")


def test_a_convolution_with_the_older_spectral_norm() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=nn.utils.spectral_norm(conv()), bn=nn.BatchNorm2d(8))
    expected = outputs(model, (SQUARE,))
    result = bnlint.fold(model, (SQUARE,))
    assert "conv has a forward hook" in result.kept[0].reason
    assert relative_error(expected, outputs(result.model, (SQUARE,))) == 0


def test_a_parametrised_norm() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    nn.utils.parametrize.register_parametrization(model.bn, "weight", nn.Softplus())
    assert_kept(model, SQUARE, words="parametrised")


def test_a_norm_in_a_plain_list() -> None:
    hidden = [awkward(nn.BatchNorm2d(8)).double()]
    model = Model(lambda m, x: hidden[0](m.conv(x)), conv=conv()).double().eval()
    images = SQUARE.double()
    expected = outputs(model, (images,))
    result = bnlint.fold(model, (images,))
    assert [kept.reason for kept in result.kept] == ["it is not in the module tree"]
    assert relative_error(expected, outputs(result.model, (images,))) < 1e-10


def test_a_convolution_in_a_plain_list() -> None:
    hidden = [conv().double()]
    model = trap(lambda m, x: m.bn(hidden[0](x)), bn=nn.BatchNorm2d(8)).double()
    images = SQUARE.double()
    expected = outputs(model, (images,))
    result = bnlint.fold(model, (images,))
    assert "not in the module tree" in result.kept[0].reason
    assert relative_error(expected, outputs(result.model, (images,))) < 1e-10


def test_the_forward_reads_the_attributes_of_the_norm() -> None:
    """What stands in the place of the norm has no `num_features`: nothing is folded, in one sentence."""
    model = trap(
        lambda m, x: m.bn(m.conv(x)).reshape(2, m.bn.num_features, -1).to(m.bn.weight.dtype),
        conv=conv(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    with pytest.raises(NotAnalysedError, match="num_features"):
        bnlint.fold(model, (SQUARE,))


def test_the_forward_asks_for_the_class_of_the_norm() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        for layer in m.children():
            x = layer(x).relu() if isinstance(layer, nn.BatchNorm2d) else layer(x)
        return x

    model = trap(compute, conv=conv(), bn=nn.BatchNorm2d(8))
    expected = reference(model, (SQUARE,))
    result = bnlint.fold(model, (SQUARE,))
    right = relative_error(expected, outputs(result.model, (SQUARE,))) < 1e-5
    assert right or not result.verified


# Modes


def test_a_norm_left_in_training_mode() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    model.bn.train()
    with pytest.raises(UsageError, match="bn is in training mode"):
        bnlint.fold(model, (SQUARE,))
    assert "training mode" in bnlint.plan(model, (SQUARE,)).kept[0].reason


def test_a_model_of_which_only_a_part_is_in_eval_mode() -> None:
    model = trap(lambda m, x: m.second(m.first(x)), first=conv(), second=nn.Sequential(conv(), nn.BatchNorm2d(8)))
    model.train()
    model.second.eval()
    fold(model, SQUARE)


def test_a_norm_without_statistics() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8, track_running_stats=False))
    assert_kept(model, SQUARE, words="no running statistics")


def test_a_function_that_always_trains() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        return F.batch_norm(m.conv(x), None, None, m.bn.weight, m.bn.bias, training=True)

    fold(trap(compute, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_active_dropout_between() -> None:
    model = trap(lambda m, x: m.bn(m.between(m.conv(x))), conv=conv(), between=nn.Dropout(), bn=nn.BatchNorm2d(8))
    model.between.train()
    assert "dropout" in bnlint.plan(model, (SQUARE,)).kept[0].reason


def test_a_dropout_function_that_ignores_the_mode() -> None:
    model = trap(lambda m, x: m.bn(F.dropout(m.conv(x))), conv=conv(), bn=nn.BatchNorm2d(8))
    assert "dropout" in bnlint.plan(model, (SQUARE,)).kept[0].reason


def test_active_dropout_behind_the_norm_fails_the_proof() -> None:
    model = trap(lambda m, x: F.dropout(m.bn(m.conv(x)), 0.5), conv=conv(), bn=nn.BatchNorm2d(8))
    result = bnlint.fold(model, (SQUARE,))
    assert not result.verified


# Padding, pooling, maxima


@pytest.mark.parametrize("padding", [1, (0, 1), "same"])
def test_a_convolution_that_pads_with_zeros_takes_no_norm_before_it(padding: Any) -> None:
    model = trap(lambda m, x: m.conv(m.bn(x.tanh())), conv=nn.Conv2d(8, 4, 3, padding=padding), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="pads with zeros")


def test_a_transposed_convolution_takes_no_norm_before_it() -> None:
    model = trap(lambda m, x: m.conv(m.bn(x.tanh())), conv=nn.ConvTranspose2d(8, 4, 3), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="transposed")


def test_one_reader_of_the_norm_cannot_take_it() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.bn(x.tanh())
        return m.conv(y), y.sigmoid()

    assert_kept(trap(compute, conv=nn.Conv2d(8, 4, 1), bn=nn.BatchNorm2d(8)), SQUARE, words="sigmoid")


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
        model = trap(lambda m, x: m.bn(m.pool(m.conv(x).flatten(2)[:, :, :1])), conv=conv(), pool=pool,
                     bn=nn.BatchNorm2d(2))  # fmt: skip
    else:
        channels = 32 if isinstance(pool, nn.PixelUnshuffle) else 8
        model = trap(lambda m, x: m.bn(m.pool(m.conv(x))), conv=conv(), pool=pool, bn=nn.BatchNorm2d(channels))
    fold(model, SQUARE)


@pytest.mark.parametrize(
    "pool",
    [nn.AvgPool2d(3, 1, 1), nn.MaxPool2d(2), nn.ZeroPad2d(1), nn.Upsample(scale_factor=2), nn.ChannelShuffle(2)],
    ids=lambda layer: repr(layer)[:60],
)
def test_layers_between_norm_and_convolution(pool: nn.Module) -> None:
    model = trap(lambda m, x: m.conv(m.pool(m.bn(x.tanh()))), conv=nn.Conv2d(8, 4, 1), pool=pool, bn=nn.BatchNorm2d(8))
    fold(model, SQUARE)


def test_the_signs_are_read_when_folding_and_not_when_planning_alone() -> None:
    """Max-pooling lets a scale through only where all of it is positive."""
    model = trap(lambda m, x: m.bn(F.max_pool2d(m.conv(x), 2)), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="max_pool2d")
    model.bn.weight.data.abs_()
    assert_folds(model, SQUARE)


# Skip connections beside a convolution


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
    fold(trap(lambda m, x: beside(m, x.tanh()), conv=convolution, bn=nn.BatchNorm2d(8)), SQUARE)


@pytest.mark.parametrize("arguments", [{"kernel_size": 2, "padding": "same"}, {"kernel_size": 3, "padding": "same"}])
def test_a_norm_beside_a_convolution_with_named_padding(arguments: dict[str, Any]) -> None:
    model = trap(lambda m, x: m.conv(x) + m.bn(x), conv=nn.Conv2d(8, 8, **arguments), bn=nn.BatchNorm2d(8))
    fold(model, SQUARE)


# Grouped transposed convolutions


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_grouped_transposed_convolution(groups: int) -> None:
    """Its weight is (in, out / groups, …): the groups split the first axis, not the second."""
    model = awkward(Chain(conv=nn.ConvTranspose2d(8, 12, 3, groups=groups), bn=nn.BatchNorm2d(12)))
    assert_folds(model, SQUARE)


def test_the_original_is_not_changed_by_any_of_this() -> None:
    model = trap(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    before = copy.deepcopy(model.state_dict())
    bnlint.fold(model, (SQUARE,))
    assert batch_norms(model) == ["bn"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
