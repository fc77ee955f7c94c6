"""Objects that are no module tree: one sentence, whatever is asked of them, and nothing of them changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    "no constructor": (WithoutConstructor, "has no attribute '_modules'"),
    "a function as a child": (lambda: with_child(torch.relu), "named_modules"),
    "a number as a name": (lambda: with_child(nn.ReLU(), 9), "can only concatenate str"),
    "no hooks": (lambda: without("_forward_hooks"), "`0` is a module without `_forward_hooks`"),
    "no parameters": (lambda: without("_parameters"), "has no attribute '_parameters'"),
    "no flag": (lambda: without("training"), "`0` is a module without `training`"),
    "itself": (holding_itself, "contains itself"),
    "many places": (in_many_places, "more than 1000000 paths"),
    "a list of modules": (lambda: with_attribute("modules", []), "'list' object is not callable"),
    "other parameters": (lambda: WithRates(*block()), "missing 1 required positional argument: 'rate'"),
    "a long chain": (lambda: with_attribute("cache", chain(20_000)), "cannot be copied for a run: RecursionError"),
}


@pytest.mark.parametrize("ask", [bnlint.check, bnlint.inspect, bnlint.plan, bnlint.fold])
@pytest.mark.parametrize("what", ODD)
def test_one_sentence_says_what_is_wrong(what: str, ask: Callable[[nn.Module], object]) -> None:
    make, words = ODD[what]
    with pytest.raises(NotAnalysedError) as refused:
        ask(make())
    assert words in refused.value.cause
    assert "\n" not in str(refused.value)


def test_modules_in_several_places_are_fine() -> None:
    shared = nn.BatchNorm2d(3)
    assert (
        bnlint.check(nn.Sequential(shared, nn.Sequential(shared, shared), nn.Sequential(shared))).coverage.layers == 1
    )
