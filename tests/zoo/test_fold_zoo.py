"""Folded, real models compute what they computed: the smallest model of each timm family, and models of torchvision.

Statistics are plausible ones with gains of both signs. Parameters that start at (nearly) 0, such as layer scales and
the last gain of a residual block, are randomised: they would hide what happens behind them. The original in float64 is
the reference. Tolerances are relative to the largest output: 1e-9 for a fold done and run in float64 (rounding is at
1e-11 or below); in float32, eight times what the original itself loses against float64, or 1e-5.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import bnlint
from tests import torchvision_ops  # noqa: F401  (before timm and torchvision)
from tests.folding.proof import batch_norms, outputs, reference, relative_error
from tests.models import with_plausible_statistics
from tests.zoo.families import FAMILIES, small_images

timm = pytest.importorskip("timm")

ALGEBRA = 1e-9
ROOM, ROUNDING = 8, 1e-5

TOO_SLOW = frozenset({
    "convmixer_768_32", "halonet_h1", "inception_resnet_v2", "inception_v4", "nasnetalarge", "pnasnet5large",
    "vgg11_bn", "vit_small_resnet50d_s16_224", "volo_d1_224",
})  # fmt: skip
"""Up to half a minute each in float64; `make zoo` plans them all."""

VISION = (
    "resnet18", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5",
    "regnet_y_400mf", "efficientnet_b0", "densenet121",
)  # fmt: skip

KEPT_NONE = frozenset(VISION) - {"densenet121"}
"""Every BatchNorm of these follows a convolution of its own; a DenseNet is pre-activated and shares its inputs."""


def telling(model: nn.Module) -> nn.Module:
    """Eval mode, with statistics, gains of both signs, and no parameter that hides what is behind it; in place."""
    generator = torch.Generator().manual_seed(1)
    with_plausible_statistics(model)
    with torch.no_grad():
        for path in batch_norms(model):
            weight = getattr(model.get_submodule(path), "weight", None)
            if weight is not None:
                weight.mul_(torch.randint(0, 2, weight.shape, generator=generator) * 2 - 1)
        for name, parameter in model.named_parameters():
            if parameter.numel() and parameter.abs().max() < 1e-3 and not name.endswith("bias"):
                parameter.uniform_(0.3, 0.6, generator=generator)
                if parameter.dim() > 1:
                    parameter.div_(max(1, parameter[0].numel()))
    return model.eval()


@pytest.mark.parametrize("family", [family for family, name in FAMILIES.items() if name not in TOO_SLOW])
def test_smallest_model_of_each_family_in_float64(family: str) -> None:
    torch.manual_seed(0)
    model = telling(timm.create_model(FAMILIES[family])).double()
    inputs: tuple[Tensor, ...] = (small_images(FAMILIES[family])[:1].double(),)
    expected = outputs(copy.deepcopy(model), inputs)
    result = bnlint.fold(model, inputs, inplace=True)
    assert relative_error(expected, outputs(result.model, inputs)) < ALGEBRA
    assert result.verified
    assert result.folds
    assert set(batch_norms(result.model)) == {kept.layer for kept in result.kept}


@pytest.mark.parametrize("name", VISION)
def test_torchvision_in_float32(name: str) -> None:
    import torchvision

    torch.manual_seed(0)
    model = telling(torchvision.models.get_model(name, weights=None))
    inputs = (torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)),)
    expected = reference(model, inputs)
    own = relative_error(expected, outputs(model, inputs))
    result = bnlint.fold(model, inputs)
    assert relative_error(expected, outputs(result.model, inputs)) < max(ROOM * own, ROUNDING)
    assert result.verified
    assert (result.kept == ()) == (name in KEPT_NONE)
    assert set(batch_norms(result.model)) == {kept.layer for kept in result.kept}
