"""Layers and weights that are used more than once: folded or kept, the outputs are right."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import bnlint
from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import assert_folds, assert_kept, outputs, reference, relative_error


def test_a_convolution_called_twice_with_two_norms() -> None:
    """pytorch/pytorch#104593, #197539."""
    model = model_of(
        lambda m, x: m.bn(m.conv(x)) + m.other(m.conv(x.flip(3))),
        conv=conv(), bn=nn.BatchNorm2d(8), other=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="conv is called 2")
    assert_kept(model, SQUARE, layer="other", words="conv is called 2")


def test_a_convolution_called_twice_and_normalised_once() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) + m.conv(x.flip(3)), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="conv is called 2")


def test_one_convolution_and_one_norm_called_on_two_streams_agree() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) + m.bn(m.conv(x.flip(3))).relu(), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_folds(model, SQUARE)


def test_a_convolution_called_in_a_loop_on_its_own_normalised_output() -> None:
    def loop(m: nn.Module, x: Tensor) -> Tensor:
        for _ in range(3):
            x = m.bn(m.conv(x)).relu()
        return x

    assert_folds(model_of(loop, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_a_norm_called_twice_on_the_output_of_one_call() -> None:
    def twice(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.bn(y) + m.bn(y.relu())

    assert_kept(model_of(twice, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="used elsewhere")


def test_a_norm_called_twice_in_a_row() -> None:
    model = model_of(lambda m, x: m.bn(m.bn(m.conv(x))), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="called 2")


def test_a_weight_read_elsewhere() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) + m.conv.weight.norm(), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="conv.weight is read elsewhere")


def test_a_bias_read_elsewhere() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) + m.conv.bias.sum(), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="conv.bias is read elsewhere")


def test_statistics_read_elsewhere() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) + m.bn.running_mean.sum(), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="bn.running_mean is read elsewhere")


def test_every_parameter_read_by_a_penalty() -> None:
    model = model_of(
        lambda m, x: (m.bn(m.conv(x)), sum(p.square().sum() for p in m.parameters())), conv=conv(), bn=nn.BatchNorm2d(8)
    )
    assert_kept(model, SQUARE, words="read elsewhere")


def test_two_convolutions_that_share_a_weight() -> None:
    model = model_of(
        lambda m, x: m.bn(m.conv(x)) + m.other(x), conv=conv(bias=False), other=conv(bias=False), bn=nn.BatchNorm2d(8)
    )
    model.other.weight = model.conv.weight
    assert_kept(model, SQUARE, words="conv.weight is shared with other")


def test_a_weight_that_is_a_view_of_another() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) + m.other(x), conv=conv(), other=conv(), bn=nn.BatchNorm2d(8))
    model.other.weight = nn.Parameter(model.conv.weight.detach().flip(0)[:].view_as(model.conv.weight))
    model.conv.weight = nn.Parameter(model.other.weight.detach()[:])
    expected = reference(model, (SQUARE,))
    result = bnlint.fold(model, (SQUARE,))
    assert "shared with other" in result.kept[0].reason
    assert relative_error(expected, outputs(result.model, (SQUARE,))) < 1e-5


def test_a_linear_layer_tied_with_an_embedding() -> None:
    model = model_of(
        lambda m, x: m.bn(m.linear(m.embedding(x)).transpose(1, 2)),
        embedding=nn.Embedding(5, 8), linear=nn.Linear(8, 5, bias=False), bn=nn.BatchNorm1d(5),
    )  # fmt: skip
    model.linear.weight = model.embedding.weight
    assert_kept(model, torch.arange(10).view(2, 5) % 5, words="linear.weight is shared with embedding")


def test_a_norm_on_an_embedding_tied_with_the_head() -> None:
    model = model_of(
        lambda m, x: m.head(m.bn(m.embedding(x).transpose(1, 2)).relu().transpose(1, 2)),
        embedding=nn.Embedding(5, 8), bn=nn.BatchNorm1d(8), head=nn.Linear(8, 5),
    )  # fmt: skip
    model.head.weight = model.embedding.weight
    assert_kept(model, torch.arange(10).view(2, 5) % 5, words="embedding.weight is shared with head")


def test_two_norms_that_share_their_statistics() -> None:
    model = model_of(
        lambda m, x: m.bn(m.conv(x)) + m.other(x), conv=conv(), bn=nn.BatchNorm2d(8), other=nn.BatchNorm2d(8)
    )
    model.other.running_mean = model.bn.running_mean
    expected = reference(model, (SQUARE,))
    result = bnlint.fold(model, (SQUARE,))
    assert "bn.running_mean is shared with other" in result.kept[0].reason
    assert relative_error(expected, outputs(result.model, (SQUARE,))) < 1e-5


def test_a_norm_registered_under_two_names() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)).relu(), conv=conv(), bn=nn.BatchNorm2d(8))
    model.also = model.bn
    result = assert_folds(model, SQUARE)
    assert type(result.model.bn) is type(result.model.also) is nn.Identity


def test_a_convolution_registered_under_two_names_and_called_by_both() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) + m.also(x), conv=conv(), bn=nn.BatchNorm2d(8))
    model.also = model.conv
    assert_kept(model, SQUARE, words="called 2")


def test_a_block_registered_under_two_names_and_called_by_one() -> None:
    block = nn.Sequential(conv(), nn.BatchNorm2d(8))
    assert_folds(model_of(lambda m, x: m.second(x), first=block, second=block), SQUARE)
