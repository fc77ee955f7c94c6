"""Every form of BatchNorm: folded, and right.

Nothing is kept, and the outputs are those of the original in float64. Statistics are those of
`awkward`: gains of both signs, a variance of 1e-6 and one of 100. Tolerances, relative to the largest value of an
output: 1e-10 folded and run in float64, 2e-5 in float32 (see `tests.folding.proof`).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests import torchvision_ops  # noqa: F401  (before timm and torchvision)
from tests.folding.layers import model_of, value
from tests.folding.proof import Chain, assert_folds, awkward


class FrozenBatchNorm2d(nn.Module):
    """As Detectron2 writes it: scale, shift and statistics are buffers, and the arithmetic is its own."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[None, :, None, None] + shift[None, :, None, None]


class NormAct(nn.BatchNorm2d):
    """A norm with its activation inside, as timm writes it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Dropout()
        self.act = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.1, self.eps)
        return self.act(self.drop(x))


class RenamedNorm(nn.BatchNorm2d):
    pass


class CheckedNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        assert x.dim() == 4
        return super().forward(x)


def torchvision_frozen() -> nn.Module:
    from torchvision.ops import FrozenBatchNorm2d as Frozen

    return Frozen(8)


def timm_norm_act() -> nn.Module:
    from timm.layers import BatchNormAct2d

    return BatchNormAct2d(8, act_layer=nn.GELU)


def timm_frozen_norm_act() -> nn.Module:
    from timm.layers import FrozenBatchNormAct2d

    return FrozenBatchNormAct2d(8)


FORMS: dict[str, Callable[[], nn.Module]] = {
    "module": lambda: nn.BatchNorm2d(8, eps=1e-3),
    "synchronised": lambda: nn.SyncBatchNorm(8),
    "without_affine": lambda: nn.BatchNorm2d(8, affine=False),
    "frozen": lambda: FrozenBatchNorm2d(8),
    "frozen_of_torchvision": torchvision_frozen,
    "activation_inside": lambda: NormAct(8),
    "timm_norm_act": timm_norm_act,
    "timm_frozen_norm_act": timm_frozen_norm_act,
    "subclass": lambda: RenamedNorm(8),
    "subclass_with_a_check": lambda: CheckedNorm(8),
    "momentum_none": lambda: nn.BatchNorm2d(8, momentum=None),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_after_a_convolution(form: str) -> None:
    """SyncBatchNorm takes CPU tensors in eval mode."""
    assert_folds(awkward(Chain(conv=nn.Conv2d(8, 8, 3, bias=False), bn=FORMS[form]())), value())


@pytest.mark.parametrize("form", [form for form in FORMS if "act" not in form])
def test_form_before_a_convolution(form: str) -> None:
    assert_folds(awkward(Chain(activation=nn.Tanh(), bn=FORMS[form](), conv=nn.Conv2d(8, 4, 3))), value())


def test_the_activation_inside_stays() -> None:
    result = assert_folds(awkward(Chain(conv=nn.Conv2d(8, 8, 3), bn=NormAct(8))), value())
    assert [type(child) for child in result.model.bn.children()] == [nn.Dropout, nn.LeakyReLU]


def test_one_norm_called_on_several_streams() -> None:
    layers = model_of(
        lambda m, x: m.bn(m.first(x)).relu() * m.bn(m.second(x)).sigmoid() + m.bn(m.third(x)),
        first=nn.Conv2d(8, 6, 1), second=nn.Conv2d(8, 6, 1, bias=False), third=nn.ConvTranspose2d(8, 6, 1),
        bn=nn.BatchNorm2d(6),
    )  # fmt: skip
    assert assert_folds(layers, value()).folds[0].into == ("first", "second", "third")
