"""Whether the statistics of a batch are taken across its samples."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.facts.flow import Flow
from bnlint.facts.samples import Samples
from bnlint.facts.unknown import UNKNOWN
from bnlint.tracing.norm_calls import find_norm_calls
from bnlint.tracing.symbolic import Symbolic, symbolic


class Calls(nn.Module):
    def __init__(self, way: Callable[[Calls, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.way = nn.Conv2d(3, 4, 1), way

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def by_batch(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True)


def by_sample(_: Calls, x: Tensor) -> Tensor:
    return by_batch(x.reshape(1, -1, 8, 8)).view_as(x)


def of_weights(model: Calls, x: Tensor) -> Tensor:
    weight = by_batch(model.conv.weight.reshape(1, 4, -1)).view_as(model.conv.weight)
    return F.conv2d(x, weight)


def weights_scaled_by_the_input(model: Calls, x: Tensor) -> Tensor:
    return by_batch(model.conv.weight * x.mean())


def only(way: Callable[[Calls, Tensor], Tensor], samples: int) -> object:
    (record,) = bnlint.inspect(Calls(way).eval(), inputs=(f"{samples}x3x8x8",)).norms
    return record.mixes_samples


WAYS = [
    ("a batch", lambda m, x: by_batch(m.conv(x)), True, True),
    ("rows", lambda m, x: by_batch(x.flatten(1)), True, UNKNOWN),
    ("samples as channels", by_sample, False, UNKNOWN),
    ("weights", of_weights, False, False),
    ("weights made of the input", weights_scaled_by_the_input, True, True),
    ("layer normalisation", lambda m, x: F.layer_norm(x, (8,)), None, None),
]  # fmt: skip


@pytest.mark.parametrize(("way", "of_two", "of_one"), [case[1:] for case in WAYS], ids=[case[0] for case in WAYS])
def test_whether_samples_are_mixed(
    way: Callable[[Calls, Tensor], Tensor], of_two: bool | None, of_one: bool | None
) -> None:
    assert only(way, 2) is of_two
    assert only(way, 1) is of_one


def test_without_shapes_it_is_unknown() -> None:
    class Unsized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.bn(torch.relu(x))

    model = Unsized().eval()
    traced = symbolic(model, 10)
    assert isinstance(traced, Symbolic)
    (call,) = find_norm_calls(traced.graph, traced.attributes, dict(model.named_modules()), frozenset({"bn"}))
    assert Samples(Flow(traced.graph), None).mixes(call) is UNKNOWN
