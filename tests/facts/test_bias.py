"""Biases without effect: proved by changing them, and near misses where they count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from tests.models import with_plausible_statistics
from tests.tracing.proof import images


class Biased(nn.Module):
    """`way` makes what `bn` normalises; its own parameters are those of `conv`, `linear` and `up`."""

    def __init__(self, way: Callable[[Biased, Tensor], Tensor], channels: int = 3) -> None:
        super().__init__()
        self.conv, self.linear, self.up = nn.Conv2d(3, 3, 3), nn.Linear(8, 8), nn.ConvTranspose2d(3, 3, 2)
        self.plain, self.drop = nn.Conv2d(3, 3, 1, bias=False), nn.Dropout(0.5)
        self.way, self.bn = way, nn.BatchNorm2d(channels) if channels == 3 else nn.BatchNorm1d(channels)
        self.tail = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.way(self, x))


def conv_and_skip(m: Biased, x: Tensor) -> Tensor:
    return m.conv(F.pad(x, (1, 1, 1, 1))) + x


WITHOUT_EFFECT = [
    ("a convolution", lambda m, x: m.conv(x), 3, "conv"),
    ("a transposed convolution", lambda m, x: m.up(x), 3, "up"),
    ("a function", lambda m, x: F.conv2d(x, m.conv.weight, m.conv.bias), 3, "conv"),
    ("max pooling", lambda m, x: F.max_pool2d(m.conv(x), 2), 3, "conv"),
    ("average pooling", lambda m, x: F.avg_pool2d(m.conv(x), 2), 3, "conv"),
    ("interpolation", lambda m, x: F.interpolate(m.conv(x), scale_factor=2), 3, "conv"),
    ("memory order", lambda m, x: m.conv(x).contiguous(), 3, "conv"),
    ("features moved to axis 1", lambda m, x: m.linear(x.flatten(1, 2)).transpose(1, 2), 8, "linear"),
    ("rows", lambda m, x: m.linear(x.flatten(0, 2)), 8, "linear"),
    ("dropout of nothing", lambda m, x: F.dropout(m.conv(x), 0.0), 3, "conv"),
]

WITH_EFFECT = [
    ("an activation", lambda m, x: m.conv(x).relu(), 3),
    ("padding", lambda m, x: F.pad(m.conv(x), (1, 1)), 3),
    ("average pooling that counts its padding", lambda m, x: F.avg_pool2d(m.conv(x), 2, padding=1), 3),
    ("a pixel shuffle", lambda m, x: F.pixel_shuffle(m.conv(x).repeat(1, 4, 1, 1), 2), 3),
    ("rows as channels", lambda m, x: m.linear(x)[:, 0], 8),
    ("a scale by the input", lambda m, x: m.up(x)[..., :8, :8] * x, 3),
]


def of_bn(model: Biased) -> frozenset[str]:
    (record,) = [facts for facts in bnlint.inspect(model, inputs=(images(),)).norms if facts.layer == "bn"]
    return record.bias_before  # type: ignore[return-value]


def output_moves(model: Biased, layer: str) -> bool:
    """Whether the output in training mode changes with a bias of another value for each channel."""
    x = images()
    before = model(x)
    with torch.no_grad():
        bias = model.get_submodule(layer).bias
        bias += torch.arange(1.0, 1 + len(bias))
    return not torch.allclose(before, model(x), atol=1e-4)


@pytest.mark.parametrize(
    ("way", "channels", "layer"), [case[1:] for case in WITHOUT_EFFECT], ids=[case[0] for case in WITHOUT_EFFECT]
)
def test_a_bias_without_effect(way: Callable[[Biased, Tensor], Tensor], channels: int, layer: str) -> None:
    model = Biased(way, channels).train()
    assert of_bn(model) == {layer}
    assert of_bn(model.eval()) == {layer}
    assert not output_moves(model.train(), layer)


@pytest.mark.parametrize(("way", "channels"), [case[1:] for case in WITH_EFFECT], ids=[case[0] for case in WITH_EFFECT])
def test_a_bias_that_counts(way: Callable[[Biased, Tensor], Tensor], channels: int) -> None:
    model = Biased(way, channels).train()
    assert of_bn(model) == frozenset()
    layers = ("conv", "linear", "up")
    assert any(output_moves(Biased(way, channels).train(), layer) for layer in layers)


SILENT = [
    ("no bias", lambda m, x: m.plain(x)),
    ("dropout that is active in training", lambda m, x: m.drop(m.conv(x))),
    ("a layer that is called twice", lambda m, x: m.conv(m.conv(x))),
    ("a write in place", lambda m, x: m.conv(x).relu_()),
    ("a sum", conv_and_skip),
    ("the input", lambda m, x: x),
]  # fmt: skip


@pytest.mark.parametrize("way", [case[1] for case in SILENT], ids=[case[0] for case in SILENT])
def test_silent(way: Callable[[Biased, Tensor], Tensor]) -> None:
    assert of_bn(Biased(way).eval()) == frozenset()


def test_an_exported_program_names_the_layer_too() -> None:
    program = torch.export.export(with_plausible_statistics(Biased(lambda m, x: m.conv(x))).eval(), (images(),))
    assert [record.bias_before for record in bnlint.inspect(program).norms if record.calls] == [{"conv"}]


def test_other_kinds_take_nothing_away() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 1), nn.LayerNorm([4, 8, 8]))
    assert [record.bias_before for record in bnlint.inspect(model, inputs=(images(),)).norms] == [frozenset()] * 2


def test_without_shapes_a_convolution_right_before_is_enough() -> None:
    class Unsized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x: Tensor, how: object) -> Tensor:
            return self.bn(self.conv(x)) if how is None else self.bn(self.conv(x)).relu()

    table = bnlint.inspect(Unsized().eval(), inputs=("1x2x3",))
    assert table.model.graph == "symbolic"
    assert [record.bias_before for record in table.norms] == [{"conv"}]


class Beside(nn.Module):
    """`bn` normalises the output of a convolution; `beside` makes a second output of it and of its bias."""

    def __init__(self, beside: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.bn, self.beside = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), beside

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = F.conv2d(x, self.conv.weight, self.conv.bias)
        return self.bn(y), self.beside(y, self.conv.bias)


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        (lambda y, bias: y.mean(), set()),
        (lambda y, bias: bias.sum(), set()),
        (lambda y, bias: torch.zeros(y.shape[0]), {"conv"}),
    ],
    ids=["the output is used elsewhere", "the bias is read elsewhere", "only its shape is"],
)
def test_a_bias_that_counts_elsewhere(beside: Callable[[Tensor, Tensor], Tensor], expected: set[str]) -> None:
    (record,) = [facts for facts in bnlint.inspect(Beside(beside).eval(), inputs=(images(),)).norms if facts.calls]
    assert record.bias_before == expected
