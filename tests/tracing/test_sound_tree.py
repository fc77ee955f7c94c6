"""Objects that are no module tree: one sentence, whatever is asked of them, and nothing of them changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch
from torch import nn

import bnlint
from bnlint.errors import NotAnalysedError
from tests.tracing.proof import block


class WithoutConstructor(nn.Module):
    def __init__(self) -> None:
        pass


class WithRates(nn.Sequential):
    def parameters(self, rate: float) -> Any:  # type: ignore[override]
        return [{"params": super().parameters(), "lr": rate}]


def with_child(child: object, name: Any = "2") -> nn.Module:
    model = block()
    model._modules[name] = child  # type: ignore[assignment]
    return model


def holding_itself() -> nn.Module:
    model = block()
    model._modules["again"] = model
    return model


def without(name: str) -> nn.Module:
    model = block()
    del model[0].__dict__[name]
    return model


def with_attribute(name: str, value: object) -> nn.Module:
    model = block()
    model.__dict__[name] = value
    return model


def in_many_places() -> nn.Module:
    module: nn.Module = nn.BatchNorm2d(3)
    for _ in range(60):
        module = nn.Sequential(module, module)
    return module


def chain(length: int) -> list[Any]:
    links: list[Any] = []
    for _ in range(length):
        links = [links]
    return links


ODD: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "no constructor": (WithoutConstructor, "`WithoutConstructor` is a module without `training`"),
    "a function as a child": (
        lambda: with_child(torch.relu),
        "a builtin_function_or_method among its modules",
    ),
    "no hooks": (lambda: without("_forward_hooks"), "`0` is a module without `_forward_hooks`"),
    "no parameters": (lambda: without("_parameters"), "`0` is a module without `_parameters`"),
    "no flag": (lambda: without("training"), "`0` is a module without `training`"),
    "itself": (holding_itself, "contains itself"),
    "many places": (in_many_places, "more than 1000000 paths"),
}


@pytest.mark.parametrize("ask", [bnlint.check, bnlint.inspect, bnlint.plan, bnlint.fold])
@pytest.mark.parametrize("what", ODD)
def test_one_sentence_says_what_is_wrong(what: str, ask: Callable[[nn.Module], object]) -> None:
    make, words = ODD[what]
    with pytest.raises(NotAnalysedError) as refused:
        ask(make())
    assert words in refused.value.cause
    assert "\n" not in str(refused.value)


SOUND: dict[str, Callable[[], nn.Module]] = {
    "a number as a name": lambda: with_child(nn.ReLU(), 9),
    "no name": lambda: with_child(nn.ReLU(), ""),
    "points in a name": lambda: with_child(nn.ReLU(), "a.b"),
    "NUL and half a pair in a name": lambda: with_child(nn.ReLU(), "a\0b\ud800"),
    "a list of modules": lambda: with_attribute("modules", []),
    "other parameters": lambda: WithRates(*block()),
}


@pytest.mark.parametrize("what", SOUND)
def test_a_tree_is_read_whatever_its_names_and_methods(what: str) -> None:
    report = bnlint.check(SOUND[what]().eval())
    assert (report.coverage.layers, report.coverage.layers_called, report.unanalysed) == (1, 1, ())
    folded = bnlint.fold(SOUND[what]().eval(), force=True)
    assert ([fold.layer for fold in folded.folds], folded.verified) == (["1"], True)


@pytest.mark.parametrize("name", [9, "", "a.b", "a\0b\ud800"])
def test_a_layer_is_named_whatever_its_name_is(name: Any) -> None:
    model = with_child(nn.BatchNorm2d(3), name)
    model.eval()._modules[name].train()  # type: ignore[union-attr]
    report = bnlint.check(model)
    assert len({layer for finding in report.findings for layer in finding.layers if finding.code == "BN102"}) == 1
    text = msgspec.json.encode(report).decode()
    assert "\0" not in text
    kept = {kept.layer: kept.reason for kept in bnlint.plan(model.eval()).kept}
    assert len(kept) == 1


def test_what_cannot_be_copied_is_not_traced_and_looked_at() -> None:
    model = with_attribute("cache", chain(20_000)).train()
    report = bnlint.check(model, run=True)
    assert "the model cannot be copied for a run: RecursionError" in report.coverage.reason
    assert "The model was not run" in report.unanalysed[0]
    assert {"BN101", "BN001"} <= {finding.code for finding in report.findings}
    assert [kept.reason for kept in bnlint.plan(model.eval()).kept] == ["its call could not be traced"]
    with pytest.raises(NotAnalysedError, match="cannot be copied for a run"):
        bnlint.fold(model)


def test_modules_in_several_places_are_fine() -> None:
    shared = nn.BatchNorm2d(3)
    assert (
        bnlint.check(nn.Sequential(shared, nn.Sequential(shared, shared), nn.Sequential(shared))).coverage.layers == 1
    )
