"""A BatchNorm behind each layer that can take it: folded, and right.

Nothing is kept, and the outputs are those of the original in float64. Statistics are those of
`awkward`: gains of both signs, a variance of 1e-6 and one of 100. Tolerances, relative to the largest value of an
output: 1e-10 folded and run in float64, 2e-5 in float32 (see `tests.folding.proof`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import bnlint
from tests.folding.layers import (
    CONV,
    INSTANCE,
    NORM,
    SQUARE,
    TRANSPOSED,
    affines,
    biases,
    conv,
    groupings,
    model_of,
    ranks,
    value,
)
from tests.folding.proof import (
    ROUNDED,
    Chain,
    assert_folds,
    assert_kept,
    awkward,
    batch_norms,
    images,
    outputs,
    reference,
    relative_error,
)


@ranks
@biases
@affines
@groupings
@pytest.mark.parametrize("kind", [CONV, TRANSPOSED], ids=["plain", "transposed"])
def test_convolution(kind: dict[int, type[nn.Module]], rank: int, bias: bool, affine: bool, groups: int) -> None:
    layers = Chain(conv=kind[rank](8, 16, 3, groups=groups, bias=bias), bn=NORM[rank](16, affine=affine))
    result = assert_folds(awkward(layers), value(rank))
    assert result.folds[0].into == ("conv",)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@biases
@groupings
def test_convolution_in_other_data_types(dtype: torch.dtype, bias: bool, groups: int) -> None:
    layers = awkward(Chain(conv=nn.Conv2d(8, 8, 3, groups=groups, bias=bias), bn=nn.BatchNorm2d(8)))
    if dtype is not torch.float64:  # a variance of 1e-6 is below what float16 holds beside eps
        layers.bn.running_var.uniform_(0.3, 3)
    expected = reference(layers.to(dtype), (value().to(dtype),))
    result = bnlint.fold(layers, (value().to(dtype),))
    assert (result.kept, batch_norms(result.model), result.model.conv.bias.dtype) == ((), [], dtype)
    assert relative_error(expected, outputs(result.model, (value(),), dtype)) < ROUNDED[dtype]


CONVOLUTIONS = {
    "dilated": nn.Conv2d(8, 6, 3, dilation=2),
    "strided": nn.Conv2d(8, 6, 3, stride=2, padding=1),
    "zeros": nn.Conv2d(8, 6, 3, padding=1),
    "reflect": nn.Conv2d(8, 6, 3, padding=1, padding_mode="reflect"),
    "replicate": nn.Conv2d(8, 6, 3, padding=(1, 0), padding_mode="replicate"),
    "circular": nn.Conv2d(8, 6, 3, padding=1, padding_mode="circular"),
    "same": nn.Conv2d(8, 6, (3, 2), padding="same"),
    "valid": nn.Conv2d(8, 6, 3, padding="valid"),
    "one_way": nn.Conv2d(8, 6, (1, 3)),
    "depthwise_multiplier": nn.Conv2d(8, 24, 3, groups=8),
    "transposed_strided": nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1),
    "transposed_dilated_grouped": nn.ConvTranspose2d(8, 6, 3, dilation=2, groups=2),
    "transposed_depthwise": nn.ConvTranspose2d(8, 16, 3, groups=8),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_with_options(name: str) -> None:
    conv = copy.deepcopy(CONVOLUTIONS[name])
    assert_folds(awkward(Chain(conv=conv, bn=nn.BatchNorm2d(conv.out_channels))), value())


def test_transposed_convolution_with_an_output_size() -> None:
    assert_folds(
        model_of(
            lambda m, x: m.bn(m.conv(x, output_size=(14, 12))),
            conv=nn.ConvTranspose2d(8, 6, 3, 2, 1), bn=nn.BatchNorm2d(6),
        ),
        value(),
    )  # fmt: skip


@biases
@affines
def test_linear(bias: bool, affine: bool) -> None:
    assert_folds(awkward(Chain(linear=nn.Linear(8, 6, bias), bn=nn.BatchNorm1d(6, affine=affine))), images(4, 8))


TOKENS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "flatten": (lambda y: y.flatten(0, 1), 3),
    "reshape": (lambda y: y.reshape(-1, 6), 3),
    "view": (lambda y: y.view(-1, 6), 4),
    "transpose": (lambda y: y.transpose(1, 2), 3),
    "transpose_negative": (lambda y: y.transpose(-1, -2), 3),
    "swapaxes": (lambda y: y.swapaxes(1, 2), 3),
    "mT": (lambda y: y.mT, 3),
    "movedim": (lambda y: y.movedim(-1, 1), 3),
    "moveaxis": (lambda y: torch.moveaxis(y, (3, 1), (1, 2)), 4),
    "permute": (lambda y: y.permute(0, 3, 1, 2), 4),
    "permute_function": (lambda y: torch.permute(y, (0, 2, 1)), 3),
    "permute_keyword": (lambda y: y.permute(dims=(0, 2, 1)), 3),
    "permute_reshape": (lambda y: y.permute(0, 2, 1).reshape(y.shape[0], 6, 1, -1), 3),
    "contiguous": (lambda y: y.transpose(1, 2).contiguous(), 3),
    "unsqueeze": (lambda y: y.transpose(1, 2).unsqueeze(-1), 3),
}


@pytest.mark.parametrize("way", TOKENS)
@pytest.mark.parametrize("layer", ["linear", "layer_norm"])
def test_tokens(way: str, layer: str) -> None:
    """Linear on rank 3 or 4, or LayerNorm: the channels are the last axis until they are moved."""
    move, rank = TOKENS[way]
    shape = {3: (2, 5, 6), 4: (2, 5, 3, 6)}[rank]
    norm_rank = move(torch.empty(shape)).dim()
    norm = nn.BatchNorm2d(6) if norm_rank == 4 else nn.BatchNorm1d(6)
    carrier = nn.Linear(6, 6) if layer == "linear" else nn.LayerNorm(6)
    assert_folds(awkward(Chain(carrier=carrier, move=move, bn=norm)), images(*shape))


def test_transpose_by_keyword() -> None:
    assert_folds(
        awkward(Chain(linear=nn.Linear(6, 6), move=lambda y: y.transpose(dim0=1, dim1=2), bn=nn.BatchNorm1d(6))),
        images(2, 5, 6),
    )


def test_embedding() -> None:
    layers = Chain(embedding=nn.Embedding(9, 6), move=lambda y: y.transpose(1, 2), bn=nn.BatchNorm1d(6))
    assert_folds(awkward(layers), torch.arange(18).view(2, 9) % 9)


def test_embedding_with_a_padding_index() -> None:
    layers = Chain(embedding=nn.Embedding(9, 6, padding_idx=0), move=lambda y: y.flatten(0, 1), bn=nn.BatchNorm1d(6))
    assert_folds(awkward(layers), torch.arange(18).view(2, 9) % 9)


UPSTREAM_NORMS: dict[str, Callable[[], nn.Module]] = {
    "group": lambda: nn.GroupNorm(2, 8),
    "group_of_one": lambda: nn.GroupNorm(1, 8),
    "instance": lambda: nn.InstanceNorm2d(8, affine=True),
    "instance_with_statistics": lambda: nn.InstanceNorm2d(8, affine=True, track_running_stats=True),
}


@pytest.mark.parametrize("name", UPSTREAM_NORMS)
def test_affine_of_another_normalisation(name: str) -> None:
    result = assert_folds(awkward(Chain(norm=UPSTREAM_NORMS[name](), bn=nn.BatchNorm2d(8))), value())
    assert result.folds[0].into == ("norm",)


@ranks
def test_affine_of_an_instance_norm(rank: int) -> None:
    assert_folds(awkward(Chain(norm=INSTANCE[rank](8, affine=True), bn=NORM[rank](8))), value(rank))


def test_affine_of_a_layer_norm_without_bias() -> None:
    layers = Chain(norm=nn.LayerNorm(6, bias=False), move=lambda y: y.transpose(1, 2), bn=nn.BatchNorm1d(6))
    assert_folds(awkward(layers), images(2, 5, 6))


@affines
def test_three_norms_in_a_row_fold_into_the_convolution(affine: bool) -> None:
    chain = Chain(
        conv=nn.Conv2d(8, 8, 1), bn=nn.BatchNorm2d(8, affine=affine), bn2=nn.BatchNorm2d(8), bn3=nn.BatchNorm2d(8)
    )
    assert_folds(awkward(chain), value())


def test_a_norm_folds_into_the_norm_before_it_that_stays() -> None:
    layers = awkward(Chain(bn=nn.BatchNorm2d(8), bn2=nn.BatchNorm2d(8)))
    result = assert_kept(layers, value(), words="")
    assert [(fold.layer, fold.into) for fold in result.folds] == [("bn2", ("bn",))]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_grouped_transposed_convolution(groups: int) -> None:
    """Its weight is (in, out / groups, …): the groups split the first axis, not the second."""
    model = awkward(Chain(conv=nn.ConvTranspose2d(8, 12, 3, groups=groups), bn=nn.BatchNorm2d(12)))
    assert_folds(model, SQUARE)


def test_the_original_is_not_changed_by_any_of_this() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    before = copy.deepcopy(model.state_dict())
    bnlint.fold(model, (SQUARE,))
    assert batch_norms(model) == ["bn"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
