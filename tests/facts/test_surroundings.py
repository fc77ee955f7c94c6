"""What feeds a call and what it feeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.facts.records import NormFacts
from tests.tracing.proof import images


class Around(nn.Module):
    """`before` makes what `bn` normalises out of an image, `after` takes it."""

    def __init__(self, before: Callable[..., Tensor], after: Callable[..., Any]) -> None:
        super().__init__()
        self.conv, self.bn, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)
        self.linear, self.prelu, self.drop = nn.Linear(8, 8), nn.PReLU(), nn.Dropout2d(0.5)
        self.in_place = nn.ReLU(inplace=True)
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Any:
        return self.after(self, self.bn(self.before(self, x)))


def facts_of(before: Callable[..., Any], after: Callable[..., Any], training: bool = False) -> NormFacts:
    table = bnlint.inspect(Around(before, after).train(training), inputs=(images(),))
    return [facts for facts in table.norms if facts.layer == "bn"][-1]


def activates_in_place_and_goes_on(m: Around, y: Tensor) -> Tensor:
    y.relu_()
    return m.other(y)


def fills_a_buffer(m: Around, y: Tensor) -> Tensor:
    buffer = torch.zeros_like(y)
    buffer[:, :2] = y[:, :2]
    return m.other(buffer)


def nothing(_: Around, y: Tensor) -> Tensor:
    return y


def writes_by_slice(_: Around, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, 1:] = x[:, 1:].sigmoid()
    return y


def writes_and_forgets(m: Around, x: Tensor) -> Tensor:
    y = m.conv(x)
    y.relu_()
    return y


def writes_into_a_view(_: Around, x: Tensor) -> Tensor:
    y = x.clone()
    y.flatten(2).relu_()
    return y


def writes_and_returns(_: Around, x: Tensor) -> Tensor:
    return x.clone().relu_()


def writes_out(_: Around, x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    torch.sigmoid(x, out=y)
    return y


UPSTREAM = [
    ("the input", nothing, {"input"}),
    ("a convolution", lambda m, x: m.conv(x), {"convolution"}),
    ("a function", lambda m, x: F.conv2d(x, m.conv.weight), {"convolution"}),
    ("an activation", lambda m, x: m.conv(x).relu(), {"activation"}),
    ("an activation with parameters", lambda m, x: m.prelu(m.conv(x)), {"activation"}),
    ("a linear layer", lambda m, x: m.linear(x), {"linear"}),
    ("a product", lambda m, x: x @ x.mT, {"matmul"}),
    ("a sum", lambda m, x: m.conv(x) + x, {"addition"}),
    ("a scale", lambda m, x: m.conv(x) * 2, {"multiplication"}),
    ("pooling", lambda m, x: F.avg_pool2d(m.conv(x), 2), {"pooling"}),
    ("upsampling", lambda m, x: F.interpolate(m.conv(x), scale_factor=2), {"upsampling"}),
    ("padding", lambda m, x: F.pad(m.conv(x), (1, 1)), {"padding"}),
    ("a mean", lambda m, x: m.conv(x).mean((2, 3), keepdim=True), {"reduction"}),
    ("softmax", lambda m, x: m.conv(x).softmax(-1), {"softmax"}),
    ("another normalisation", lambda m, x: F.layer_norm(x, (8,)), {"normalisation"}),
    ("itself", lambda m, x: m.bn(m.conv(x)), {"normalisation"}),
    ("a constant", lambda m, x: torch.ones(2, 3, 8, 8), {"constant"}),
    ("an index", lambda m, x: m.conv(x)[:, torch.tensor([2, 1, 0])], {"convolution"}),
    ("the shape of another", lambda m, x: m.conv(x).flatten(1).view_as(x.relu()), {"convolution"}),
    ("moves of values", lambda m, x: m.conv(x).flatten(2).mT.contiguous().mT.view(x.shape).double().float(),
     {"convolution"}),
    ("parts", lambda m, x: torch.cat(m.conv(x).relu().split(1, dim=1)[::-1], 1), {"activation"}),
    ("a concatenation", lambda m, x: torch.cat([m.conv(x)[:, :1], x[:, :1].relu(), x[:, 2:]], 1),
     {"convolution", "activation", "input"}),
    ("inactive dropout", lambda m, x: F.dropout(m.drop(m.conv(x)), 0.5, training=False), {"convolution"}),
    ("dropout that ignores eval", lambda m, x: F.dropout(m.conv(x)), {"dropout", "convolution"}),
    ("dropout of nothing", lambda m, x: F.dropout(m.conv(x), 0.0), {"convolution"}),
    ("a write by slice", writes_by_slice, {"activation", "constant"}),
    ("a write into all of it", writes_and_forgets, {"activation"}),
    ("a write by an in-place layer", lambda m, x: (y := m.conv(x), m.in_place(y))[0], {"activation"}),
    ("a copy", lambda m, x: torch.zeros_like(x).copy_(m.conv(x)), {"convolution"}),
    ("a write into a view", writes_into_a_view, {"activation", "input"}),
    ("a write in place", writes_and_returns, {"activation"}),
    ("a write to an output", writes_out, {"activation"}),
]  # fmt: skip


@pytest.mark.parametrize(("before", "expected"), [case[1:] for case in UPSTREAM], ids=[case[0] for case in UPSTREAM])
def test_what_feeds_a_call(before: Callable[..., Tensor], expected: set[str]) -> None:
    assert facts_of(before, nothing).fed_by == expected


DOWNSTREAM = [
    ("the output", nothing, {"output"}),
    ("an activation", lambda m, y: F.gelu(y), {"activation"}),
    ("an activation in place", lambda m, y: y.relu_(), {"activation"}),
    ("an activation in place before a convolution", activates_in_place_and_goes_on, {"activation"}),
    ("a buffer", fills_a_buffer, {"convolution"}),
    ("the shape of another", lambda m, y: m.conv.weight.expand(3, 3, 8, 8).view_as(y[[0, 1, 1]]).relu(), set()),
    ("a convolution", lambda m, y: m.other(y), {"convolution"}),
    ("two branches", lambda m, y: y.relu() + m.other(y.flip(1)), {"activation", "convolution"}),
    ("a sum", lambda m, y: y + 1, {"addition"}),
    ("a list of outputs", lambda m, y: {"a": [y, y.relu()]}, {"activation", "output"}),
    ("a concatenation", lambda m, y: torch.cat([y, y], 1).relu(), {"activation"}),
    ("nothing", lambda m, y: torch.ones(1), set()),
    ("its shape only", lambda m, y: torch.ones(y.shape), set()),
]


@pytest.mark.parametrize(("after", "expected"), [case[1:] for case in DOWNSTREAM], ids=[case[0] for case in DOWNSTREAM])
def test_what_a_call_feeds(after: Callable[..., Any], expected: set[str]) -> None:
    assert facts_of(lambda m, x: m.conv(x), after).feeds == expected


def test_dropout_is_active_in_training() -> None:
    def dropped(m: Around, x: Tensor) -> Tensor:
        return m.drop(m.conv(x))

    assert facts_of(dropped, nothing, training=True).fed_by == {"dropout", "convolution"}
    assert facts_of(dropped, nothing, training=False).fed_by == {"convolution"}


def test_a_write_after_the_call_does_not_feed_it() -> None:
    def writes_later(m: Around, y: Tensor) -> Tensor:
        return y.sigmoid_()

    assert facts_of(lambda m, x: m.conv(x), writes_later).fed_by == {"convolution"}


def test_each_call_of_one_layer_has_its_own_surroundings() -> None:
    model = Around(lambda m, x: m.bn(m.conv(x)).relu(), lambda m, y: m.other(y))
    first, second = bnlint.inspect(model.eval(), inputs=(images(),)).norms
    assert (first.fed_by, first.feeds, first.calls) == ({"convolution"}, {"activation"}, 2)
    assert (second.fed_by, second.feeds, second.calls) == ({"activation"}, {"convolution"}, 2)


class Rep(nn.Module):
    """As in RepVGG: the same input, convolved and normalised or normalised only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.conv_bn, self.identity_bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        return self.conv_bn(self.conv(x)) + self.identity_bn(x)


def test_an_identity_branch() -> None:
    facts = {facts.layer: facts.identity_branch for facts in bnlint.inspect(Rep().eval(), inputs=(images(),)).norms}
    assert facts == {"conv_bn": False, "identity_bn": True}
