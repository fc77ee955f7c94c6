"""The channel axis is followed to the layer that made the channels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.facts.unknown import UNKNOWN


class Way(nn.Module):
    """A linear layer or a convolution of eight features, some way, then BatchNorm over eight channels."""

    def __init__(self, way: Callable[[Way, Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.conv, self.bn = nn.Linear(8, 8), nn.Conv2d(8, 8, 1), nn.BatchNorm1d(8)
        self.gru, self.bn2 = nn.GRU(8, 8, batch_first=True), nn.BatchNorm2d(8)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        y = self.way(self, x)
        return self.bn2(y) if y.dim() == 4 else self.bn(y)


# Inputs are (N, 8, 8): every axis has the size of the features, so that sizes alone tell nothing.
WAYS = [
    ("positions of a linear layer", lambda m, x: m.linear(x), False),
    ("features brought to the front", lambda m, x: m.linear(x).transpose(1, 2), True),
    ("features there and back", lambda m, x: m.linear(x).mT.mT, False),
    ("by named axes", lambda m, x: m.linear(x).transpose(dim0=1, dim1=2), True),
    ("by one named axis", lambda m, x: torch.transpose(m.linear(x), 1, dim1=2), True),
    ("permuted by name", lambda m, x: m.linear(x).permute(dims=(0, 2, 1)), True),
    ("a matrix transposed", lambda m, x: m.linear(x[0]).T, False),
    ("permuted", lambda m, x: m.linear(x).permute(0, 2, 1), True),
    ("permuted by a list", lambda m, x: m.linear(x).permute([0, 2, -2]), True),
    ("through an activation", lambda m, x: F.relu(m.linear(x)).transpose(-1, -2), True),
    ("rows of tokens", lambda m, x: m.linear(x).flatten(0, 1), True),
    ("rows by reshape", lambda m, x: m.linear(x).reshape(-1, 8), True),
    ("steps of a recurrent layer", lambda m, x: m.gru(x)[0], False),
    ("features of a recurrent layer", lambda m, x: m.gru(x)[0].transpose(1, 2), True),
    ("channels of a convolution", lambda m, x: m.conv(x[..., None].expand(-1, -1, -1, 8)), True),
    ("flattened pixels", lambda m, x: m.conv(x[..., None]).flatten(2), True),
    ("pixels as channels", lambda m, x: m.conv(x[..., None]).flatten(2).transpose(1, 2), False),
    ("pixels as channels of an image", lambda m, x: m.conv(x[..., None].expand(-1, -1, -1, 8)).transpose(1, 2), False),
    ("through squeeze and unsqueeze", lambda m, x: m.conv(x[..., None]).squeeze(-1).unsqueeze(-1), True),
    ("the input", lambda m, x: x, None),
    ("a sum", lambda m, x: m.linear(x) + x, None),
]  # fmt: skip


@pytest.mark.parametrize(("way", "expected"), [case[1:] for case in WAYS], ids=[case[0] for case in WAYS])
def test_whether_the_channels_are_the_features(way: Callable[[Way, Tensor], Tensor], expected: bool | None) -> None:
    (record,) = [facts for facts in bnlint.inspect(Way(way).eval(), inputs=("2x8x8",)).norms if facts.calls]
    assert record.channel_axis_is_feature_axis is expected


def test_a_way_that_cannot_be_followed_is_unknown() -> None:
    def scrambled(model: Way, x: Tensor) -> Tensor:
        return model.linear(x).reshape(2, 4, 16).transpose(1, 2).reshape(2, 8, 8)

    (record,) = [facts for facts in bnlint.inspect(Way(scrambled).eval(), inputs=("2x8x8",)).norms if facts.calls]
    assert record.channel_axis_is_feature_axis is UNKNOWN


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (lambda m, x: m.linear(x), True),
        (lambda m, x: m.linear(x).mT, True),
        (lambda m, x: m.linear(x).reshape(1, 8, 16), True),
        (lambda m, x: m.linear(x).reshape(2, 4, 16).transpose(1, 2).reshape(2, 8, 8), True),
        (lambda m, x: m.narrow(x), False),
        (lambda m, x: x, None),
    ],
    ids=["as many", "moved", "in other samples", "scrambled", "fewer features", "no layer"],
)
def test_whether_there_are_as_many_channels_as_features(
    way: Callable[[Way, Tensor], Tensor], expected: bool | None
) -> None:
    class Narrow(Way):
        def __init__(self) -> None:
            super().__init__(way)
            self.narrow = nn.Linear(8, 4)

    records = bnlint.inspect(Narrow().eval(), inputs=("2x8x8",)).norms
    (record,) = [facts for facts in records if facts.calls]
    assert record.as_many_channels_as_features is expected


def test_exported_programs_are_followed_too() -> None:
    model = Way(lambda m, x: m.linear(x)).eval()
    program = torch.export.export(model, (torch.randn(2, 8, 8),))
    record = next(facts for facts in bnlint.inspect(program).norms if facts.layer == "bn")
    assert record.channel_axis_is_feature_axis is False
