"""The new weights: made in blocks, in place as in a copy, and within the data type."""

from __future__ import annotations

import copy

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import bnlint
from bnlint.folding import weights
from bnlint.folding.affine import Affine
from bnlint.folding.plan import Change, Plan, PlannedFold, Side
from bnlint.folding.precision import beyond_precision, cast_error
from bnlint.folding.remainder import Remainder
from bnlint.folding.weights import Carrier
from tests.folding.proof import Chain, Model, awkward, images, outputs, reference, relative_error
from tests.models import ConvNet

IMAGES = images(2, 3, 16, 16)
CARRIERS = {
    "convolution": (nn.Conv2d(6, 8, 3), 8, Side.OUTPUT),
    "grouped": (nn.Conv2d(6, 8, 3, groups=2), 8, Side.OUTPUT),
    "transposed": (nn.ConvTranspose2d(6, 8, 3, groups=2), 8, Side.OUTPUT),
    "input": (nn.Conv2d(6, 8, 3, groups=2), 6, Side.INPUT),
    "linear_input": (nn.Linear(6, 8, bias=False), 6, Side.INPUT),
    "beside": (nn.Conv2d(8, 8, 3, groups=4), 8, Side.BESIDE),
    "embedding": (nn.Embedding(9, 8), 8, Side.OUTPUT),
    "norm": (nn.LayerNorm(8), 8, Side.OUTPUT),
}


@pytest.mark.parametrize("name", CARRIERS)
def test_blocks_of_a_few_rows_give_the_same_as_one_block(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, channels, side = CARRIERS[name]
    generator = torch.Generator().manual_seed(0)

    def made(block: int) -> tuple[Tensor, Tensor | None]:
        monkeypatch.setattr(weights, "_BLOCK", block)
        carrier = Carrier(module)
        for seed in range(2):
            numbers = torch.randn(2, channels, generator=generator.manual_seed(seed), dtype=torch.float64)
            carrier.take(Change("", side, numpy.arange(channels)), Affine(numbers[0], numbers[1]))
        return carrier.exact(), carrier.bias

    whole, bias = made(1 << 20)
    in_blocks, bias_in_blocks = made(3 * module.weight[0].numel())
    assert torch.equal(in_blocks, whole)
    assert (bias is None) == (bias_in_blocks is None)
    assert bias is None or torch.allclose(bias_in_blocks, bias, rtol=1e-14, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_place_gives_the_bits_that_a_copy_has(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = awkward(ConvNet()).to(dtype)
    expected = bnlint.fold(model, (IMAGES.to(dtype),)).model.state_dict()
    bnlint.fold(model, (IMAGES.to(dtype),), inplace=True)
    folded = model.state_dict()
    assert folded.keys() == expected.keys()
    assert all(torch.equal(folded[name], expected[name]) for name in folded)


def test_a_copy_shares_nothing_with_the_original() -> None:
    model = awkward(ConvNet())
    model.notes, model.empty = {}, []
    folded = bnlint.fold(model, (IMAGES,)).model
    own = {tensor.data_ptr() for tensor in model.state_dict().values() if tensor.numel()}
    assert not own & {tensor.data_ptr() for tensor in folded.state_dict().values() if tensor.numel()}
    assert folded.notes is not model.notes
    assert folded.empty is not model.empty
    assert folded.conv1._forward_hooks is not model.conv1._forward_hooks


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("exponent", [0, -3, -7, 4, -40, 40])
def test_the_error_of_a_cast_is_never_understated(dtype: torch.dtype, exponent: int) -> None:
    exact = torch.randn(5, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 10.0**exponent
    exact[2] = 0
    lost = (exact - exact.to(dtype).double()).abs().amax(1)
    largest = exact.abs().amax(1)
    real = torch.where(largest > 0, lost / largest, lost).nan_to_num(torch.inf, torch.inf).max().item()
    told = cast_error(exact, dtype)
    assert told >= real
    assert told <= max(real, torch.finfo(dtype).eps / 2)


@given(
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    st.sampled_from(list(CARRIERS)),
    st.integers(-40, 38),
    st.integers(-40, 36),
    st.booleans(),
)
def test_weights_that_are_said_to_stay_normal_are_cast_by_rounding_alone(
    dtype: torch.dtype, name: str, size: int, gain: int, dead: bool
) -> None:
    module, channels, side = CARRIERS[name]
    layer = copy.deepcopy(module).to(dtype)
    layer.weight.data = (layer.weight.data.double() * 10.0**size).to(dtype)
    layer.weight.data[0] = 0
    scale = torch.logspace(gain, gain + 2, channels, dtype=torch.float64)
    scale[1] = 0 if dead else scale[1]
    carrier = Carrier(layer)
    carrier.take(Change("", side, numpy.arange(channels)), Affine(scale, torch.zeros_like(scale)))
    if carrier.stays_normal():
        assert cast_error(carrier.exact(), dtype) <= torch.finfo(dtype).eps / 2


@pytest.mark.parametrize("name", ["convolution", "grouped", "transposed", "input", "linear_input"])
def test_ordinary_weights_are_not_made_to_know_that_they_stay_normal(name: str) -> None:
    module, channels, side = CARRIERS[name]
    carrier, ones = Carrier(module), torch.ones(channels, dtype=torch.float64)
    carrier.take(Change("", side, numpy.arange(channels)), Affine(ones, ones))
    assert carrier.stays_normal()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_cast_may_cost_four_units_of_the_last_place(dtype: torch.dtype) -> None:
    plan = Plan((PlannedFold("bn", ("conv",), (), (), Remainder()),), ())
    eps = torch.finfo(dtype).eps
    assert beyond_precision(plan, {"conv": (dtype, 4 * eps)}) == {}
    assert beyond_precision(plan, {"conv": (dtype, 4.01 * eps)}).keys() == {"bn"}
    assert beyond_precision(plan, {"conv": (dtype, float("nan"))}).keys() == {"bn"}


def tiny_scale() -> nn.Module:
    model = awkward(Chain(conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4), relu=nn.ReLU()))
    model.bn.weight.data.fill_(1e-7)
    return model


def test_a_plan_says_what_half_precision_cannot_hold() -> None:
    half = (IMAGES.half(),)
    kept = bnlint.plan(tiny_scale().half(), half).kept
    assert kept == bnlint.fold(tiny_scale().half(), half).kept
    assert "in the float16 weight of conv it would cost a relative error of" in kept[0].reason
    assert bnlint.plan(tiny_scale(), (IMAGES,)).kept == ()
    assert bnlint.plan(tiny_scale().half().to("meta"), half).kept == ()


# Runs in float64


def test_a_layer_in_a_plain_list_is_in_the_proof() -> None:
    hidden = [nn.Conv2d(4, 4, 1), awkward(nn.BatchNorm2d(4))]
    model = Model(lambda m, x: hidden[1](hidden[0](m.bn(m.conv(x)))), conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4))
    awkward(model)
    with torch.no_grad():
        expected = hidden[1].double()(hidden[0].double()(model.double().bn(model.conv(IMAGES.double()))))
    for layer in (*hidden, model):
        layer.float()
    result = bnlint.fold(model, (IMAGES,))
    assert result.verified
    assert [fold.layer for fold in result.folds] == ["bn"]
    assert relative_error([expected], outputs(result.model, (IMAGES,))) < 1e-5
    assert result.proof is not None
    assert result.proof.algebra_error < 1e-12


def own_types(m: nn.Module, x: Tensor) -> Tensor:
    """Names data types, makes tensors, writes into them, and asks for the data type of a weight."""
    x = m.bn(m.conv(x.to(m.conv.weight.dtype))).float()
    out = torch.zeros(x.shape[0], 8, *x.shape[2:], dtype=torch.float32)
    out[:, :4] = x
    out[:, 4:] = torch.ones(1).type_as(x) * 0.1
    return (out @ m.linear.weight.T).add_(m.linear.bias.to(torch.float32))


def test_the_data_types_that_a_forward_names_are_widened_too() -> None:
    torch.manual_seed(0)
    model = Model(own_types, conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4), linear=nn.Linear(16, 5))
    model.linear.weight = nn.Parameter(torch.randn(5, 16))
    result = bnlint.fold(awkward(model), (IMAGES,))
    assert result.verified
    assert result.proof is not None
    assert result.proof.algebra_error < 1e-13
    assert 0 < result.proof.max_error < 1e-5


def test_a_buffer_that_the_forward_writes_to_stays_as_it_was() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        m.seen += x.mean()
        return m.bn(m.conv(x)) + m.seen

    model = awkward(Model(compute, conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4)))
    model.register_buffer("seen", torch.zeros(()))
    result = bnlint.fold(model, (IMAGES,))
    assert result.verified
    assert model.seen.item() == 0
    assert result.model.seen.item() == 0  # type: ignore[operator,union-attr]


def test_the_default_data_type_is_restored_where_a_run_fails() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        if torch.get_default_dtype() is torch.float64:
            raise RuntimeError("no")
        return m.bn(m.conv(x))

    model = awkward(Model(compute, conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4)))
    with pytest.raises(bnlint.errors.NotAnalysedError, match="RuntimeError: no"):
        bnlint.fold(model, (IMAGES,))
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize("inplace", [False, True])
def test_recurrent_and_attention_layers_run_in_float64(inplace: bool) -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        tokens = m.bn(m.conv(x)).flatten(2).transpose(1, 2)
        steps, _ = m.lstm(tokens)
        return m.attention(steps, tokens, tokens)[0]

    layers = {"lstm": nn.LSTM(8, 8, batch_first=True), "attention": nn.MultiheadAttention(8, 2, batch_first=True)}
    model = awkward(Model(compute, conv=nn.Conv2d(3, 8, 4, stride=4), bn=nn.BatchNorm2d(8), **layers))
    expected = reference(copy.deepcopy(model), (IMAGES,))
    result = bnlint.fold(model, (IMAGES,), inplace=inplace)
    assert result.verified
    assert result.proof is not None
    assert result.proof.algebra_error < 1e-12
    assert relative_error(expected, outputs(result.model, (IMAGES,))) < 1e-4
