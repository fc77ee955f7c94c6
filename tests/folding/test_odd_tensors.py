"""Weights, statistics and attributes that layers of real models have, and that a fold must not take for plain ones."""

from __future__ import annotations

import contextlib
import threading
import types
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import prune
from torch.testing._internal.two_tensor import TwoTensor

import bnlint
from bnlint.errors import NotAnalysedError
from tests.folding.proof import assert_folds, awkward, images, outputs, relative_error

IMAGES = images(2, 3, 8, 8)


class Computed(nn.Conv2d):
    """Keeps its weight under another name."""

    weight = property(lambda self: self._parameters["raw"] * 2)  # type: ignore[assignment]

    @classmethod
    def of(cls, layer: nn.Conv2d) -> nn.Conv2d:
        layer.register_parameter("raw", nn.Parameter(layer._parameters.pop("weight").detach()))  # type: ignore[union-attr]
        layer.__class__ = cls
        return layer


def model() -> nn.Sequential:
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4)
    return awkward(nn.Sequential(*layers))  # type: ignore[return-value]


def with_own_forward(layer: nn.Module, name: str) -> None:
    plain = getattr(layer, name)  # of this layer, and not of its copies
    setattr(layer, name, lambda *args: F.relu(plain(*args)))


def with_same_forward(layer: nn.Module) -> None:
    plain = layer.forward
    layer.forward = lambda x: plain(x).contiguous()  # type: ignore[method-assign]


def bound(layer: nn.Module) -> None:
    layer.forward = types.MethodType(lambda self, x: type(self).forward(self, x) * 2, layer)  # type: ignore[method-assign]


def set_weight(layer: nn.Module, weight: Tensor) -> None:
    layer._parameters["weight"] = nn.Parameter(weight, requires_grad=False)


SET = "has a forward that was set on the layer itself"
KEPT: dict[str, tuple[Callable[[nn.Sequential], object], str]] = {
    "a norm with another forward": (lambda m: with_own_forward(m[1], "forward"), SET),
    "a forward that does the same": (lambda m: with_same_forward(m[0]), SET),
    "a convolution with another forward": (lambda m: with_own_forward(m[0], "forward"), "it follows an activation"),
    "another inner forward": (lambda m: with_own_forward(m[0], "_conv_forward"), "it follows an activation"),
    "a bound forward": (lambda m: bound(m[0]), "it follows a multiplication"),
    "a computed weight": (lambda m: Computed.of(m[0]), "0.weight is computed each time that it is read"),
}
"""Models that run: what is kept, and the rest is folded."""

REFUSED: dict[str, tuple[Callable[[nn.Sequential], object], str]] = {
    "a sparse weight": (
        lambda m: set_weight(m[0], m[0].weight.detach().to_sparse()),
        "0.weight is kept in a form that",
    ),
    "integers": (lambda m: set_weight(m[0], torch.ones(4, 3, 3, 3, dtype=torch.int8)), "cannot be folded: int8"),
    "tensors that wrap others": (
        lambda m: set_weight(m[0], TwoTensor(m[0].weight.detach(), m[0].weight.detach())),
        "Two",
    ),
    "sparse statistics": (lambda m: setattr(m[1], "running_var", torch.rand(4).to_sparse()), "running_var is kept in"),
    "eps is None": (lambda m: setattr(m[1], "eps", None), "its eps is a NoneType, which is no number"),
}
"""Most of these fail when they run, after a trace that did not notice."""


@pytest.mark.parametrize("what", KEPT)
def test_what_is_no_plain_layer_is_kept(what: str) -> None:
    change, reason = KEPT[what]
    odd = model()
    change(odd)
    expected = outputs(odd, (IMAGES,))
    result = bnlint.fold(odd, IMAGES)
    assert result.verified
    assert {kept.layer: reason in kept.reason for kept in result.kept} == {"1": True}
    assert [item.layer for item in result.folds] == ["4"]
    assert relative_error(expected, outputs(result.model, (IMAGES,))) < 1e-5
    assert [item.layer for item in bnlint.plan(odd, IMAGES).folds] == ["4"]


@pytest.mark.parametrize("what", REFUSED)
def test_what_holds_no_plain_numbers_is_kept(what: str) -> None:
    change, reason = REFUSED[what]
    odd = model()
    change(odd)
    assert any(reason in kept.reason for kept in bnlint.plan(odd, IMAGES).kept)
    with contextlib.suppress(NotAnalysedError):
        assert "1" not in {item.layer for item in bnlint.fold(odd, IMAGES).folds}


class FrozenBatchNorm2d(nn.Module):
    """Keeps its tensors in the shape that they are used in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for number, name in enumerate(("weight", "bias", "running_mean", "running_var")):
            self.register_buffer(name, images(1, channels, 1, number + 1)[..., -1:].square() + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        return x * scale + (self.bias - self.running_mean * scale)


def test_tensors_of_the_shape_of_images() -> None:
    odd = nn.Sequential(nn.Conv2d(3, 4, 3), FrozenBatchNorm2d(4)).eval()
    assert_folds(odd, IMAGES)


@pytest.mark.parametrize("counter", [torch.tensor([0, 0, 0]), torch.empty(0), torch.tensor(float("nan"))])
def test_a_counter_that_counts_nothing_is_no_obstacle(counter: Tensor) -> None:
    odd = model()
    odd[1].num_batches_tracked = counter
    assert_folds(odd, IMAGES)


def pruned(odd: nn.Sequential) -> None:
    prune.l1_unstructured(odd[3], "weight", 0.5)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "change",
    [pruned, lambda m: nn.utils.weight_norm(m[3]), lambda m: setattr(m, "lock", threading.RLock())],
    ids=["pruned", "weight_norm", "a lock"],
)
def test_a_model_that_cannot_be_copied(change: Callable[[nn.Sequential], object]) -> None:
    odd = model()
    change(odd)
    with pytest.raises(NotAnalysedError, match=r"The model cannot be copied, as `copy\.deepcopy` does it: .*Error: "):
        bnlint.fold(odd, IMAGES)


def test_a_convolution_without_values() -> None:
    odd = model()
    odd[3].to("meta")
    with pytest.raises(NotAnalysedError, match="3 has no weights: it is on the meta device"):
        bnlint.fold(odd, IMAGES)


def test_outputs_that_are_not_finite_are_not_called_random() -> None:
    odd = model()
    odd[0].weight.data.fill_(float("nan"))
    with pytest.raises(NotAnalysedError, match="The outputs of the model are not finite"):
        bnlint.fold(odd, IMAGES)


def test_a_norm_called_again_after_another_norm_is_proved() -> None:
    odd = model()
    odd.append(odd[1])
    assert_folds(odd, IMAGES)


def test_a_flag_that_is_a_number() -> None:
    odd = model()
    odd[1].__dict__["training"] = 0
    assert_folds(odd, IMAGES)


def test_a_model_of_fake_tensors_is_checked() -> None:
    with FakeTensorMode():
        odd = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    assert bnlint.check(odd, inputs=IMAGES).coverage.layers_called == 1
    with pytest.raises(NotAnalysedError, match="The model has no weights: its tensors are fake"):
        bnlint.fold(odd, IMAGES)
