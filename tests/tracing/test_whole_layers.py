"""Subclasses of layers that call the constructor of `nn.Module` alone, and so lack what the layer has."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.tracing.suggest_input import suggested_flags
from bnlint.tracing.whole_layers import is_whole


class BareLinear(nn.Linear):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.register_parameter("bias", None)


class BareConvolution(nn.Conv2d):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(torch.randn(4, 4, 1, 1))
        self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias)


class BareBatchNorm(nn.BatchNorm2d):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.weight, self.bias = nn.Parameter(torch.rand(4) + 1), nn.Parameter(torch.rand(4))
        self.register_buffer("running_mean", torch.rand(4))
        self.register_buffer("running_var", torch.rand(4) + 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


BARE = {
    "Linear": (BareLinear, nn.BatchNorm1d, torch.rand(2, 4)),
    "Conv2d": (BareConvolution, nn.BatchNorm2d, torch.rand(2, 4, 3, 3)),
}


@pytest.mark.parametrize("kind", BARE)
def test_a_bare_layer_gives_no_input_and_takes_no_fold(kind: str) -> None:
    layer, norm, x = BARE[kind]
    model = nn.Sequential(layer(), norm(4)).eval()
    assert bnlint.check(model).coverage.layers == 1
    result = bnlint.fold(model, inputs=x, force=True)
    assert result.kept
    assert "lacks attributes of the layer" in str(result.kept[0])


def test_a_bare_batch_norm_is_checked_and_kept() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), BareBatchNorm()).eval()
    assert bnlint.check(model, inputs="2x3x4x4").coverage.layers_called == 1
    result = bnlint.fold(model, inputs="2x3x4x4")
    assert "lacks attributes of the layer" in str(result.kept[0])


@pytest.mark.parametrize(("layer", "whole"), [(BareLinear(), False), (nn.Linear(4, 4), True), (nn.ReLU(), True)])
def test_what_is_whole(layer: nn.Module, whole: bool) -> None:
    assert is_whole(layer) == whole
    assert is_whole(nn.Sequential(layer))


def test_the_flag_for_the_input_is_that_of_the_first_whole_layer() -> None:
    assert suggested_flags(nn.Sequential(BareLinear(), nn.Linear(5, 2))) == "`--input 1x5`"
    assert suggested_flags(BareLinear()) == "`--input SHAPE`"
