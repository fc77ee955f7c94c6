"""What no graph shows: weights that are swapped for one call or read inside a closure, and code that looks at layers.

Folded or kept, the outputs are right. Where the model's own code notices that a layer is gone, the layer is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import bnlint
from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import assert_folds, assert_kept, batch_norms, images, outputs, relative_error

# Weights


def test_a_layer_called_with_the_weight_of_another() -> None:
    model = model_of(
        lambda m, x: m.bn(torch.func.functional_call(m.conv, {"weight": m.other.weight}, (x,))) + m.norm(m.other(x)),
        conv=conv(), other=conv(), bn=nn.BatchNorm2d(8), norm=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="conv is called with other weights than its own")
    assert_kept(model, SQUARE, layer="norm", words="other.weight is read elsewhere")


def test_a_norm_called_with_other_weights() -> None:
    model = model_of(
        lambda m, x: torch.func.functional_call(m.bn, {"weight": m.gains.weight[0]}, (m.conv(x),)),
        conv=conv(), gains=nn.Linear(8, 1), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="it is called with other weights than its own")


def test_a_weight_that_the_forward_replaces() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        m.conv.weight = nn.Parameter(m.other.weight * 1)
        return m.bn(m.conv(x))

    model = model_of(compute, conv=conv(), other=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="other weights than its own")


def test_a_weight_read_inside_a_vectorised_function() -> None:
    model = model_of(
        lambda m, x: m.bn(m.conv(x)) + torch.vmap(lambda v: F.conv2d(v, m.conv.weight, padding=1))(x[None])[0],
        conv=conv(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="read elsewhere")


def test_a_layer_called_once_more_inside_a_vectorised_function() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) + torch.vmap(m.conv)(x[None])[0], conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="conv.weight is read elsewhere")


def test_a_projection_that_attention_uses_too() -> None:
    model = model_of(
        lambda m, x: m.bn(m.attention.out_proj(x).transpose(1, 2)).transpose(1, 2) + m.attention(x, x, x)[0],
        attention=nn.MultiheadAttention(8, 2, batch_first=True), bn=nn.BatchNorm1d(8),
    )  # fmt: skip
    assert_kept(model, images(2, 5, 8), words="attention.out_proj.weight is read elsewhere")


def test_a_weight_in_a_plain_attribute() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) + m.kernel.sum(), conv=conv(), bn=nn.BatchNorm2d(8)).double()
    model.kernel = model.conv.weight.detach()
    expected = outputs(model, (SQUARE.double(),))
    result = bnlint.fold(model, (SQUARE.double(),))
    assert "conv.weight is read elsewhere" in result.kept[0].reason
    assert relative_error(expected, outputs(result.model, (SQUARE.double(),))) < 1e-10


@pytest.mark.parametrize(
    "read",
    [
        lambda m: float(m.conv.weight.flatten()[0]),
        lambda m: m.bn.running_mean[0].item(),
        lambda m: sum(value.sum() for name, value in m.state_dict().items() if "conv" in name),
        lambda m: copy.deepcopy(m.conv)(SQUARE.to(m.conv.weight.dtype)),
        lambda m: m.conv.weight.data.sum(),
    ],
)
def test_values_of_weights_in_the_forward(read: Callable[[nn.Module], Any]) -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) * read(m), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words="read elsewhere")


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_block(reentrant: bool) -> None:
    model = model_of(
        lambda m, x: checkpoint(lambda v: m.bn(m.conv(v)), x, use_reentrant=reentrant),
        conv=conv(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_folds(model, SQUARE)


def test_a_convolution_under_autocast() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = m.conv(x)
        return m.bn(y.to(x.dtype))

    model = model_of(compute, conv=conv(), bn=nn.BatchNorm2d(8)).double()
    expected = outputs(model, (SQUARE.double(),))
    result = bnlint.fold(model, (SQUARE.double(),))
    assert relative_error(expected, outputs(result.model, (SQUARE.double(),))) < 1e-10


@pytest.mark.parametrize("kind", ["register_full_backward_hook", "register_full_backward_pre_hook"])
@pytest.mark.parametrize("layer", ["conv", "bn"])
def test_a_backward_hook(kind: str, layer: str) -> None:
    """It would vanish with the norm, or see other gradients."""
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    getattr(model.get_submodule(layer), kind)(lambda *arguments: None)
    assert_kept(model, SQUARE, words=f"{layer} has a backward hook")


# Code that looks at layers


class Block(nn.Module):
    """A norm whose attributes the forward may read."""

    def __init__(self, read: Callable[[nn.Module], Any] | None) -> None:
        super().__init__()
        self.conv = conv()
        self.bn = nn.BatchNorm2d(8)
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x)).relu()
        return y if self.read is None else self.read(self.bn)(y)


@pytest.mark.parametrize(
    "read",
    [
        lambda bn: lambda y: y.reshape(2, bn.num_features, -1),
        lambda bn: lambda y: y.to(bn.weight.device),
        lambda bn: lambda y: y.to(bn.running_mean.dtype),
        lambda bn: lambda y: y * bn.eps,
        lambda bn: lambda y: y if isinstance(bn, nn.BatchNorm2d) else y.relu() + 1,
        lambda bn: lambda y: y * len(list(bn.parameters())),
        lambda bn: lambda y: y + y.new_ones(sum(1 for _ in bn.buffers())).sum(),
    ],
)
def test_the_forward_looks_at_the_norm(read: Callable[[nn.Module], Any]) -> None:
    """Only the norm that is looked at stays; the same norms elsewhere are folded."""
    model = model_of(lambda m, x: m.last(m.middle(m.first(x))), first=Block(None), middle=Block(None), last=Block(read))
    result = assert_kept(model, SQUARE, layer="last.bn", words="the forward of last")
    assert batch_norms(result.model) == ["last.bn"]
    plan = bnlint.plan(model, (SQUARE,))
    assert [kept.layer for kept in plan.kept] == ["last.bn"]


def test_the_forward_asks_whether_the_convolution_has_a_bias() -> None:
    model = model_of(
        lambda m, x: m.bn(m.conv(x)) * (2 if m.conv.bias is None else 1), conv=conv(bias=False), bn=nn.BatchNorm2d(8)
    )
    assert_kept(model, SQUARE, words="runs otherwise without it")


def test_layers_that_stand_in_a_plain_list_too() -> None:
    model = model_of(lambda m, x: m.order[1](m.order[0](x)), conv=conv(), bn=nn.BatchNorm2d(8))
    model.order = [model.conv, model.bn]
    assert_kept(model, SQUARE, words="runs otherwise without it")


def test_the_forward_counts_norms() -> None:
    model = model_of(
        lambda m, x: m.bn(m.conv(x)) * sum(isinstance(layer, nn.BatchNorm2d) for layer in m.modules()),
        conv=conv(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="runs otherwise without it")


def test_code_that_hides_from_the_recorder_fails_the_proof() -> None:
    """Nothing sees a change in place that torch itself is told not to report: the fold is wrong, and says so."""

    def compute(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        with torch._C.DisableTorchFunction():
            y.abs_()
        return m.bn(y)

    assert not bnlint.fold(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(8)), (SQUARE,)).verified
