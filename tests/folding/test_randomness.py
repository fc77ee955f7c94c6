"""A model with random outputs is refused as that, and not for a layer that was folded."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import bnlint
from bnlint import NotAnalysedError
from tests.models import with_plausible_statistics
from tests.tracing.proof import images


class Random(nn.Module):
    """`way` says where the randomness comes from."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv, self.norm, self.drop, self.way = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(), way

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        if self.way == "switched":
            self.drop.train()
        if self.way == "function":
            return nn.functional.dropout(x, training=True)
        return x + torch.rand(1) if self.way == "noise" else self.drop(x)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("layer", r"Dropout is active: drop\. Call `model\.eval\(\)`, or give `--eval`\."),
        ("switched", r"Dropout is active: drop\. Take it out, or have it obey `eval\(\)`: see BN108\."),
        ("function", r"Dropout is active: .*test_randomness\.py:\d+\. Take it out"),
        ("noise", r"no fold of it can be proved\. Take the randomness out of `forward`"),
    ],
)
def test_random_outputs_are_named_as_the_reason(way: str, says: str) -> None:
    model = with_plausible_statistics(Random(way)).eval()
    if way == "layer":
        model.drop.train()
    state = torch.random.get_rng_state()
    with pytest.raises(NotAnalysedError, match=f"gives other outputs each time that it is run.*{says}"):
        bnlint.fold(model, inputs=(images(),))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_same_model_folds_in_eval_mode() -> None:
    model = with_plausible_statistics(Random("layer")).eval()
    assert bnlint.fold(model, inputs=(images(),)).verified
