"""Modes that the code of a model switches while it runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import bnlint
from tests.models import with_plausible_statistics


class Switching(nn.Module):
    def __init__(self, during: bool, how: str) -> None:
        super().__init__()
        self.during, self.how = during, how
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        before = self.norm.training
        if self.how == "flag":
            self.norm.training = self.during
        else:
            self.norm.train(self.during)
        x = self.norm(self.conv(x))
        self.norm.train(before)
        return self.last(x)


@pytest.mark.parametrize("how", ["flag", "method"])
def test_a_layer_that_trains_during_the_forward_is_found(how: str) -> None:
    model = with_plausible_statistics(Switching(True, how)).eval()
    report = bnlint.check(model, inputs="2x3x4x4", select="BN1")
    assert {finding.code: finding.layers for finding in report.findings} == {"BN103": ("norm",)}
    assert not model.norm.training


def test_a_layer_that_is_held_during_the_forward_uses_its_statistics() -> None:
    model = with_plausible_statistics(Switching(False, "method")).train()
    uses = {call.layer: call.uses_batch_statistics for call in bnlint.trace(model, "2x3x4x4").norm_calls}
    assert uses == {"norm": False, "last": True}


def test_such_a_layer_stays_when_the_rest_is_folded() -> None:
    model = with_plausible_statistics(Switching(True, "method")).eval()
    plan = bnlint.plan(model, inputs=(torch.zeros(2, 3, 4, 4),))
    assert {kept.layer: kept.reason for kept in plan.kept}["norm"] == (
        "the model's own code makes it train during the forward"
    )
