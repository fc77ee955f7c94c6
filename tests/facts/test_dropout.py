"""Dropout that reaches a normalisation, and dropout that ignores `eval()`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.facts.unknown import UNKNOWN
from tests.tracing.proof import images


class Dropped(nn.Module):
    """`way` makes what `bn` normalises."""

    def __init__(self, way: Callable[[Dropped, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.bn, self.way = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), way
        self.drop, self.maps, self.none = nn.Dropout(0.2), nn.Dropout2d(0.3), nn.Dropout(0.0)
        self.alpha, self.layer = nn.AlphaDropout(0.2), nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.way(self, x))


BEFORE = [
    ("none", lambda m, x: m.conv(x), 0.0),
    ("a layer", lambda m, x: m.drop(m.conv(x)), 0.2),
    ("a function with the flag of its module", lambda m, x: F.dropout(m.conv(x), 0.4, training=m.training), 0.4),
    ("through an activation", lambda m, x: m.maps(m.conv(x)).relu(), 0.3),
    ("in a residual branch", lambda m, x: x + m.drop(m.conv(x)), 0.2),
    ("in a dense block", lambda m, x: torch.cat([x[:, :1], m.drop(m.conv(x))[:, 1:]], 1), 0.2),
    ("the larger of two", lambda m, x: m.drop(m.maps(m.conv(x))), 0.3),
    ("through a write", lambda m, x: m.drop(m.conv(x)).relu_(), 0.2),
    ("overwritten", lambda m, x: torch.zeros_like(m.drop(x)).copy_(m.conv(x)), 0.0),
    ("through a convolution", lambda m, x: m.conv(m.drop(x)), 0.0),
    ("through a mean", lambda m, x: m.drop(x).mean((2, 3), keepdim=True), 0.0),
    ("through another normalisation", lambda m, x: m.layer(m.drop(x)), 0.0),
    ("of nothing", lambda m, x: m.none(m.conv(x)), 0.0),
    ("made to keep the variance", lambda m, x: m.alpha(m.conv(x)), 0.0),
]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "training"])
@pytest.mark.parametrize(("way", "expected"), [case[1:] for case in BEFORE], ids=[case[0] for case in BEFORE])
def test_dropout_before_a_call(way: Callable[[Dropped, Tensor], Tensor], expected: float, training: bool) -> None:
    records = bnlint.inspect(Dropped(way).train(training), inputs=(images(),)).norms
    assert [record.dropout_before for record in records if record.layer == "bn"] == [expected]


def test_dropout_that_is_held_in_eval_mode_does_not_count_in_a_model_that_trains() -> None:
    model = Dropped(lambda m, x: m.drop(m.conv(x)))
    model.drop.eval()
    bn = next(record for record in bnlint.inspect(model, inputs=(images(),)).norms if record.layer == "bn")
    assert bn.dropout_before == 0.0


class Ignores(nn.Module):
    """`way` is run inside a submodule called `body`."""

    def __init__(self, way: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.body = Body(way)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Body(nn.Module):
    def __init__(self, way: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.drop, self.way = nn.Linear(8, 8), nn.Dropout(0.2), way
        self.hidden = [nn.Dropout(0.2)]

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, self.linear(x))


def places(model: nn.Module) -> object:
    return bnlint.inspect(model, inputs=("2x4x8",)).model.dropouts_ignoring_eval


def default_flag(_: nn.Module, x: Tensor) -> Tensor:
    return F.dropout(x)


def default_flag_twice(_: nn.Module, x: Tensor) -> Tensor:
    for _step in range(2):
        x = F.dropout(x)
    return x


def attention(_: nn.Module, x: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)


def line_of(function: Callable[..., Tensor], offset: int) -> frozenset[str]:
    return frozenset({f"tests/facts/test_dropout.py:{function.__code__.co_firstlineno + offset}"})


@pytest.mark.parametrize(
    ("way", "offset"), [(default_flag, 1), (default_flag_twice, 2), (attention, 1)], ids=lambda value: str(value)[:20]
)
def test_a_function_that_drops_in_eval_mode(way: Callable[[nn.Module, Tensor], Tensor], offset: int) -> None:
    model = Ignores(way).eval()
    assert places(model) == line_of(way, offset)
    with torch.no_grad():
        x = torch.randn(2, 4, 8)
        assert not torch.equal(model(x), model(x))


def test_a_layer_outside_the_module_tree() -> None:
    assert places(Ignores(lambda m, x: m.hidden[0](x)).eval()) == {"body.hidden[0]"}  # type: ignore[operator,index]


OBEDIENT = [
    ("the flag of its module", lambda m, x: F.dropout(x, training=m.training)),
    ("a layer", lambda m, x: m.drop(x)),
    ("a probability of 0", lambda m, x: F.dropout(x, 0.0)),
    ("attention without dropout", lambda m, x: F.scaled_dot_product_attention(x, x, x)),
    ("attention that asks for the mode", lambda m, x: F.scaled_dot_product_attention(
        x, x, x, dropout_p=0.1 if m.training else 0.0)),
    ("none", lambda m, x: x.relu()),
]  # fmt: skip


@pytest.mark.parametrize("way", [case[1] for case in OBEDIENT], ids=[case[0] for case in OBEDIENT])
def test_dropout_that_obeys(way: Callable[[nn.Module, Tensor], Tensor]) -> None:
    assert places(Ignores(way).eval()) == frozenset()


def test_a_layer_that_was_put_back_into_training_mode_is_meant() -> None:
    model = Ignores(lambda m, x: m.drop(x)).eval()  # type: ignore[operator]
    model.body.drop.train()
    assert places(model) == frozenset()


def test_in_training_mode_a_flag_and_a_constant_look_the_same() -> None:
    assert places(Ignores(default_flag).train()) is UNKNOWN
    assert places(Ignores(lambda m, x: m.drop(x)).train()) == frozenset()  # type: ignore[operator]


def test_a_model_whose_mode_nobody_set(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    torch.save(Ignores(default_flag).state_dict(), weights)
    table = bnlint.inspect("tests.facts.test_dropout:ignores_by_default", weights=weights, inputs=("2x4x8",))
    assert table.model.dropouts_ignoring_eval is UNKNOWN


def ignores_by_default() -> nn.Module:
    return Ignores(default_flag)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_an_exported_program_keeps_the_dropout_of_its_mode() -> None:
    def program(training: bool) -> torch.export.ExportedProgram:
        model = Ignores(lambda m, x: m.drop(x)).train(training)  # type: ignore[operator]
        return torch.export.export(model, (torch.randn(2, 4, 8),))

    assert bnlint.inspect(program(False)).model.dropouts_ignoring_eval == frozenset()
    found = bnlint.inspect(program(True)).model.dropouts_ignoring_eval
    assert len(found) == 1  # type: ignore[arg-type]
    assert "tests/facts/test_dropout.py:" in next(iter(found))  # type: ignore[arg-type]


def test_without_a_graph_nothing_is_known(tmp_path: Path) -> None:
    torch.save(Ignores(default_flag).state_dict(), tmp_path / "weights.pt")
    assert bnlint.inspect(tmp_path / "weights.pt").model.dropouts_ignoring_eval is UNKNOWN


@pytest.mark.parametrize(("train", "expected"), [(True, {"drop"}), (False, frozenset())])
def test_dropout_that_a_forward_puts_into_training_mode_ignores_eval(train: bool, expected: set[str]) -> None:
    def switching(model: Dropped, x: Tensor) -> Tensor:
        model.drop.train(train)
        return model.drop(model.conv(x))

    model = Dropped(switching).eval()
    assert bnlint.inspect(model, inputs=(images(),)).model.dropouts_ignoring_eval == expected
    assert not model.drop.training


def test_why_it_is_unknown_in_a_model_that_trains() -> None:
    model = Dropped(lambda m, x: F.dropout(m.conv(x), training=True))
    (item,) = bnlint.check(model, inputs=(images(),), select="BN108").not_run
    assert item.remedy.startswith("the model is in training mode, where dropout as at ")
