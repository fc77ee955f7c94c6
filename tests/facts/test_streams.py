"""How many streams one layer normalises."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import bnlint
from tests.tracing.proof import images


class Shared(nn.Module):
    """One BatchNorm, called in the way under test."""

    def __init__(self, way: Callable[[Shared, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.bn, self.way = nn.BatchNorm2d(3), way
        self.weight = nn.Parameter(torch.randn(3, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def loop(m: Shared, x: Tensor) -> Tensor:
    for _ in range(3):
        x = x + m.bn(m.first(x)).relu()
    return x


def loop_over_its_own_output(m: Shared, x: Tensor) -> Tensor:
    x = m.second(x)
    for _ in range(3):
        x = m.first(m.bn(x).relu())
    return x


def three(m: Shared, x: Tensor) -> Tensor:
    return m.bn(m.first(x)) + m.bn(m.second(x)) + m.bn(m.third(x))


def connected_by_a_third(m: Shared, x: Tensor) -> Tensor:
    a, b = m.first(x), m.second(x)
    return m.bn(a) + m.bn(b) + m.bn(a + b)


WAYS = [
    ("called once", lambda m, x: m.bn(m.first(x)), 1),
    ("after two layers", lambda m, x: m.bn(m.second(m.bn(m.first(x)).relu())), 2),
    ("after three layers", three, 3),
    ("twice on one value", lambda m, x: m.bn(y := m.first(x)) + m.bn(y.relu()), 1),
    ("siamese", lambda m, x: m.bn(m.first(x)) - m.bn(m.first(x.flip(0))), 1),
    ("two parts of the input", lambda m, x: m.bn(x[:1]) - m.bn(x[1:]), 1),
    ("the input and a layer", lambda m, x: m.bn(m.first(m.bn(x))), 2),
    ("the steps of a loop", loop, 1),
    ("a loop over its own output", loop_over_its_own_output, 2),
    ("overlapping sums", connected_by_a_third, 1),
    ("a sum before its parts", lambda m, x: m.bn((a := m.first(x)) + (b := m.second(x))) + m.bn(a) + m.bn(b), 1),
    ("a function with weights of its own", lambda m, x: m.bn(m.first(x)) + m.bn(torch.conv2d(x, m.weight)), 2),
    ("one function twice", lambda m, x: m.bn(torch.conv2d(x, m.weight)) + m.bn(torch.conv2d(-x, m.weight)), 1),
]  # fmt: skip


@pytest.mark.parametrize("exported", [False, True], ids=["recorded", "exported"])
@pytest.mark.parametrize(("way", "expected"), [case[1:] for case in WAYS], ids=[case[0] for case in WAYS])
def test_streams(way: Callable[[Shared, Tensor], Tensor], expected: int, exported: bool) -> None:
    model = Shared(way).eval()
    target = torch.export.export(model, (images(),)) if exported else model
    records = [facts for facts in bnlint.inspect(target, inputs=None if exported else (images(),)).norms if facts.calls]
    assert {record.streams for record in records} == {expected}


def test_two_layers_that_share_their_weights_are_two_layers() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(2))
            self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(2))
            self.norms[1].weight = self.norms[0].weight

        def forward(self, x: Tensor) -> Tensor:
            for conv, norm in zip(self.convs, self.norms, strict=True):
                x = norm(conv(x))
            return x

    assert [facts.streams for facts in bnlint.inspect(Model().eval(), inputs=(images(),)).norms] == [1, 1]
