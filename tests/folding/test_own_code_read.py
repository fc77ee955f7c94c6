"""Whether code may notice a fold: no where the names in it rule that out, and never no where it does notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.folding.own_code import may_notice
from bnlint.folding.planner import make_plan
from tests.folding.layers import SQUARE, conv
from tests.folding.proof import awkward
from tests.forwards import forwards_of
from tests.models import ConvNet

CALLS: list[int] = []


def helper(x: Tensor) -> Tensor:
    return F.relu(x) + 1


def asks(layer: nn.Module) -> int:
    return layer.num_features  # type: ignore[return-value]


class Net(nn.Module):
    """A convolution and a BatchNorm. Input (N, 8, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = conv(), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))

    @property
    def width(self) -> int:
        return self.bn.num_features

    def head(self, x: Tensor) -> Tensor:
        return x.relu() if isinstance(self.bn, nn.BatchNorm2d) else x


def net(forward: Callable[..., Any]) -> nn.Module:
    return type("Own", (Net,), {"forward": forward})()


def hooked(hook: Callable[..., Any]) -> nn.Module:
    model = Net()
    model.register_forward_hook(hook)
    return model


def with_closure(held: object) -> nn.Module:
    return net(lambda self, x: (held, self.bn(self.conv(x)))[1])


def notices(model: nn.Module) -> bool:
    awkward(model)
    plan = make_plan(model, bnlint.trace(model, (SQUARE,)))
    return may_notice(model, plan)


def in_a_list() -> nn.Module:
    model = net(lambda self, x: self.order[1](self.order[0](x)))
    model.order = [model.conv, model.bn]  # type: ignore[assignment]
    return model


BLIND: dict[str, Callable[[], nn.Module]] = {
    "calls its layers": Net,
    "in containers": lambda: nn.Sequential(nn.Sequential(conv(), nn.BatchNorm2d(8)), nn.ReLU()),
    "calls functions": lambda: net(lambda self, x: helper(self.bn(self.conv(x)).flatten(1))),
    "branches on its mode and on None": lambda: net(
        lambda self, x: self.bn(self.conv(x)) if self.bn is not None and not self.training else x
    ),
    "counts": lambda: net(lambda self, x: (CALLS.append(1), self.bn(self.conv(x)))[1]),
    "is hooked": lambda: hooked(lambda *_: CALLS.append(1)),
    "goes through a list": lambda: net(lambda self, x: [x := layer(x) for layer in (self.conv, self.bn)][-1]),
    "closure over a number": lambda: with_closure(2),
}
SEEING: dict[str, Callable[[], nn.Module]] = {
    "reads an attribute": lambda: net(lambda self, x: self.bn(self.conv(x)) * self.bn.eps),
    "reads it by a property": lambda: net(lambda self, x: self.bn(self.conv(x)) * self.width),
    "asks in a method": lambda: net(lambda self, x: self.head(self.bn(self.conv(x)))),
    "asks in a function": lambda: net(lambda self, x: self.bn(self.conv(x)) * asks(self.bn)),
    "by a text": lambda: net(lambda self, x: self.bn(self.conv(x)) * getattr(self.bn, "e" + "ps")),
    "matches the class": lambda: net(lambda self, x: self.bn(self.conv(x)) * len([nn.BatchNorm2d])),
    "keeps its layers in a list too": in_a_list,
    "lists modules": lambda: net(lambda self, x: self.bn(self.conv(x)) * len(list(self.children()))),
    "bias": lambda: net(lambda self, x: self.bn(self.conv(x)) * (2 if self.conv.bias is None else 3)),
    "hook with the layer": lambda: hooked(lambda module, *_: CALLS.append(module.bn.num_features)),
    "closure over a layer": lambda: with_closure(nn.BatchNorm2d(8)),
    "closure over what reads": lambda: with_closure(asks),
    "closure over an object": lambda: with_closure(object()),
}


@pytest.mark.parametrize("make", BLIND.values(), ids=BLIND)
def test_names_rule_it_out(make: Callable[[], nn.Module]) -> None:
    assert not notices(make())


@pytest.mark.parametrize("make", SEEING.values(), ids=SEEING)
def test_names_do_not_rule_it_out(make: Callable[[], nn.Module]) -> None:
    assert notices(make())


def test_a_model_that_cannot_notice_is_run_once() -> None:
    with forwards_of(ConvNet) as forwards:
        report = bnlint.check(awkward(ConvNet()), inputs=(torch.randn(2, 3, 16, 16),))
    assert "BN601" in {finding.code for finding in report.findings}
    assert len(forwards) == 1
