from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.folding.remainder import nodes_inside


class NormAct(nn.BatchNorm2d):
    """Normalisation and activation in one layer, the latter as a child."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias))


def test_each_layer_is_given_its_own_nodes_and_those_of_its_children() -> None:
    """Not the whole graph: with as many layers as nodes that would be quadratic."""
    pairs = [layer for _ in range(20) for layer in (nn.Conv2d(4, 4, 1), NormAct(4))]
    trace = bnlint.trace(nn.Sequential(*pairs).eval(), (torch.empty(1, 4, 2, 2, device="meta"),))
    inside = nodes_inside(trace)
    assert len(inside) == 20
    for path, nodes in inside.items():
        assert [node.meta.get("layer", node.meta.get("module")) for node in nodes] == [path, f"{path}.act"]


def test_a_longer_name_is_not_inside_a_shorter_one() -> None:
    model = nn.Sequential()
    for name in ("norm", "norm1"):
        model.add_module(name, NormAct(4))
    inside = nodes_inside(bnlint.trace(model.eval(), (torch.empty(1, 4, 2, 2, device="meta"),)))
    assert [len(nodes) for nodes in inside.values()] == [2, 2]
