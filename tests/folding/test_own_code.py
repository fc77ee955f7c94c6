"""Forwards of the user's own, hooks and parametrisations: folded or kept, the outputs are right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import Model, assert_kept, awkward, fold, outputs, reference, relative_error


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
    fold(model_of(lambda m, x: m.bn(m.conv(x)), conv=layer(8, 8, 3, padding=1), bn=nn.BatchNorm2d(8)), SQUARE)


@pytest.mark.parametrize(
    "layer", [ClampedNorm, ResidualNorm, ShiftedEpsNorm, NormWithoutAffine, ScaledInputNorm]
)  # fmt: skip
def test_a_norm_with_a_forward_of_its_own(layer: type[nn.BatchNorm2d]) -> None:
    fold(model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=layer(8)), SQUARE)
    fold(model_of(lambda m, x: m.head(m.bn(x.tanh())), bn=layer(8), head=nn.Conv2d(8, 4, 1)), SQUARE)


def test_a_hook_on_the_convolution() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    model.conv.register_forward_hook(lambda module, args, output: output * 2)
    assert_kept(model, SQUARE, words="conv has a forward hook")


def test_a_hook_on_the_norm() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    model.bn.register_forward_hook(lambda module, args, output: output.abs())
    assert_kept(model, SQUARE, words="bn has a forward hook")


def test_a_hook_before_the_norm() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    model.bn.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    assert_kept(model, SQUARE, words="bn has a forward hook")


def test_a_hook_on_a_layer_between() -> None:
    model = model_of(lambda m, x: m.bn(m.between(m.conv(x))), conv=conv(), between=nn.Dropout(), bn=nn.BatchNorm2d(8))
    model.between.register_forward_hook(lambda module, args, output: output + 1)
    fold(model, SQUARE)


def test_a_hook_on_the_container_of_the_convolution() -> None:
    model = model_of(lambda m, x: m.bn(m.block(x)), block=nn.Sequential(conv()), bn=nn.BatchNorm2d(8))
    model.block.register_forward_hook(lambda module, args, output: output.abs())
    fold(model, SQUARE)


def test_a_hook_that_collects_features_before_the_norm() -> None:
    """What a hook on the container of the convolution sees is what the rest of the model must not change."""
    seen: list[Tensor] = []
    model = model_of(lambda m, x: m.bn(m.block(x)), block=nn.Sequential(conv()), bn=nn.BatchNorm2d(8))
    model.block.register_forward_hook(lambda module, args, output: seen.append(output))
    model(SQUARE)
    expected = seen[-1].detach().clone()
    result = bnlint.fold(model, (SQUARE,))
    result.model(SQUARE)
    assert torch.equal(seen[-1], expected)
    assert "block has a forward hook" in result.kept[0].reason


def test_a_parametrised_convolution() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    nn.utils.parametrizations.weight_norm(model.conv)
    assert_kept(model, SQUARE, words="parametrised")


def test_a_convolution_with_spectral_norm() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    nn.utils.parametrizations.spectral_norm(model.conv)
    assert_kept(model.eval(), SQUARE, words="parametrised")


def test_a_convolution_with_the_older_spectral_norm() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=nn.utils.spectral_norm(conv()), bn=nn.BatchNorm2d(8))
    expected = outputs(model, (SQUARE,))
    result = bnlint.fold(model, (SQUARE,))
    assert "conv has a forward hook" in result.kept[0].reason
    assert relative_error(expected, outputs(result.model, (SQUARE,))) == 0


def test_a_parametrised_norm() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
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
    model = model_of(lambda m, x: m.bn(hidden[0](x)), bn=nn.BatchNorm2d(8)).double()
    images = SQUARE.double()
    expected = outputs(model, (images,))
    result = bnlint.fold(model, (images,))
    assert "not in the module tree" in result.kept[0].reason
    assert relative_error(expected, outputs(result.model, (images,))) < 1e-10


def test_the_forward_reads_the_attributes_of_the_norm() -> None:
    """What would stand in the place of the norm has no `num_features`."""
    model = model_of(
        lambda m, x: m.bn(m.conv(x)).reshape(2, m.bn.num_features, -1).to(m.bn.weight.dtype),
        conv=conv(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_kept(model, SQUARE, words="num_features")


def test_the_forward_asks_for_the_class_of_the_norm() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        for layer in m.children():
            x = layer(x).relu() if isinstance(layer, nn.BatchNorm2d) else layer(x)
        return x

    model = model_of(compute, conv=conv(), bn=nn.BatchNorm2d(8))
    expected = reference(model, (SQUARE,))
    result = bnlint.fold(model, (SQUARE,))
    assert relative_error(expected, outputs(result.model, (SQUARE,))) < 1e-5
    assert "runs otherwise without it" in result.kept[0].reason


@pytest.mark.parametrize("move", [lambda y, x: y.to(x), lambda y, _: y.contiguous(), lambda y, _: y.detach().exp()])
def test_a_buffer_that_is_moved_before_its_use_is_no_difference(move: Callable[[Tensor, Tensor], Tensor]) -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)) * move(m.scale, x), conv=conv(), bn=nn.BatchNorm2d(8))
    model.scale = nn.Buffer(torch.rand(8, 1, 1))
    planned = bnlint.plan(awkward(model).eval(), inputs=(SQUARE,))
    assert [item.layer for item in planned.folds] == ["bn"]
