"""TorchScript keeps the flag of a scripted layer, and writes that of a traced one into the program."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bnlint.tracing.scripted import baked_training
from tests.models import ConvNet
from tests.tracing.proof import images

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning"
)


@pytest.mark.parametrize("mode", [False, True])
def test_a_traced_layer_keeps_the_mode_that_it_was_traced_in(mode: bool) -> None:
    traced = torch.jit.trace(ConvNet().train(mode), images(), check_trace=False)
    traced.train(not mode)
    assert baked_training(dict(traced.named_modules())["bn1"]) is mode


@pytest.mark.parametrize("mode", [False, True])
def test_a_scripted_layer_has_a_flag(mode: bool) -> None:
    scripted = torch.jit.script(ConvNet().train(mode))
    assert baked_training(dict(scripted.named_modules())["bn1"]) is None


def test_other_modules_have_no_mode_in_their_code() -> None:
    traced = torch.jit.trace(ConvNet().eval(), images())
    assert baked_training(dict(traced.named_modules())["conv1"]) is None
    assert baked_training(nn.BatchNorm2d(3)) is None
