from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from bnlint.errors import UsageError
from bnlint.running.copies import RunningCopy
from bnlint.running.padding import as_padding, observe_padding, padded
from bnlint.tracing.inputs import Inputs


def observe(model: nn.Module, inputs: Inputs, *paddings: str) -> Mapping[str, bool]:
    return observe_padding(RunningCopy(model, time.monotonic() + 30), inputs, [as_padding(text) for text in paddings])


class Tokens(nn.Module):
    """BatchNorm over tokens, all of them or those that the mask admits."""

    def __init__(self, pack: bool) -> None:
        super().__init__()
        self.pack = pack
        self.embed = nn.Embedding(10, 6)
        self.norm = nn.BatchNorm1d(6)
        self.late = nn.LayerNorm(6)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        x = self.embed(tokens)
        if self.pack:
            out = torch.zeros_like(x)
            out[mask] = self.norm(x[mask])
            return self.late(out)
        return self.late(self.norm(x.flatten(0, 1)).view_as(x))


def tokens() -> Inputs:
    return Inputs((torch.randint(1, 10, (2, 8)),), {"mask": torch.ones(2, 8, dtype=torch.bool)})


def test_each_layer_is_asked_by_itself() -> None:
    model = nn.Sequential(
        nn.Conv1d(3, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.GroupNorm(2, 4), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.BatchNorm1d(4),
    )  # fmt: skip
    assert observe(model, Inputs((torch.randn(2, 3, 10),)), "2") == {"1": True, "3": True, "6": False}


def test_in_eval_mode_too_since_training_is_what_takes_statistics() -> None:
    model = nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4)).eval()
    assert observe(model, Inputs((torch.randn(2, 3, 10),)), "2") == {"1": True}
    assert not model[1].training


@pytest.mark.parametrize("pack", [False, True])
def test_packed_tokens_keep_the_padding_out(pack: bool) -> None:
    found = observe(Tokens(pack), tokens(), "tokens=1:0", "mask=1:0")
    assert found == {"norm": not pack, "late": False}


def test_padding_goes_to_the_end_of_the_inputs_that_are_named() -> None:
    longer = padded(Tokens(True), tokens(), [as_padding("tokens=1:9"), as_padding("mask=1")])
    (ids,) = longer.args
    assert ids.shape == (2, 12)
    assert ids[:, 8:].eq(9).all()
    assert not longer.kwargs["mask"][:, 8:].any()
    assert longer.kwargs["mask"][:, :8].all()


@pytest.mark.parametrize(
    ("text", "problem"),
    [("one", "does not say how"), ("other=1", "no input 'other'"), ("2", "axis 2 cannot be padded")],
)
def test_what_does_not_fit_is_said(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        observe(Tokens(True), tokens(), text)
