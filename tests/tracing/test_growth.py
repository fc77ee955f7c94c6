"""Long models: every call is seen, in order. How time grows is measured in `benchmarks/`."""

from __future__ import annotations

import torch
from torch import nn

import bnlint
from bnlint.tracing.trace import How

PAIRS = 300


def test_a_chain_of_300_pairs_gives_300_calls_in_order() -> None:
    layers = [layer for _ in range(PAIRS) for layer in (nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))]
    trace = bnlint.trace(nn.Sequential(*layers).eval(), (torch.randn(1, 2, 4, 4),))
    assert trace.how is How.RECORDED
    assert [call.layer for call in trace.norm_calls] == [str(2 * pair + 1) for pair in range(PAIRS)]
    assert len(trace.graph.nodes) == 2 * PAIRS + 2


def test_a_deep_chain_of_symbolic_calls_is_seen_too() -> None:
    class TwoShapes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.Sequential(*[nn.BatchNorm2d(2) for _ in range(PAIRS)])

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.norms(x) @ y.reshape(7, 11)

    trace = bnlint.trace(TwoShapes().eval())
    assert trace.how is How.SYMBOLIC
    assert [call.layer for call in trace.norm_calls] == [f"norms.{index}" for index in range(PAIRS)]
