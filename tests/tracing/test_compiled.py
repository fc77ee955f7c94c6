"""Wrappers of `torch.compile` and of data parallel training are taken off: the same is said as of the model inside."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bnlint
from tests.models import with_plausible_statistics

IMAGES = torch.linspace(-1, 1, 96).reshape(2, 3, 4, 4)


def refuses(module: Any, inputs: Any) -> Any:
    """A backend that nothing may be compiled by."""
    raise AssertionError("something was compiled")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return with_plausible_statistics(
        nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        )
    ).eval()


def in_place(model: nn.Sequential) -> nn.Module:
    model.compile(backend=refuses)
    return model


def forward(model: nn.Sequential) -> nn.Module:
    model.forward = torch.compile(model.forward, backend=refuses)
    return model


def part(model: nn.Sequential, backend: Any = refuses) -> nn.Module:
    model[3] = torch.compile(model[3], backend=backend)
    return model


def forward_of_a_part(model: nn.Sequential) -> nn.Module:
    model[3].forward = torch.compile(model[3].forward, backend=refuses)
    return model


COMPILED: dict[str, Callable[[nn.Sequential], nn.Module]] = {
    "whole": lambda model: torch.compile(model, backend=refuses),
    "in place": in_place,
    "forward": forward,
    "part": part,
    "forward of a part": forward_of_a_part,
    "whole and part": lambda model: torch.compile(part(model), backend=refuses),
    "in data parallel": lambda model: nn.DataParallel(torch.compile(model, backend=refuses)),
    "averaged": torch.optim.swa_utils.AveragedModel,
}


@pytest.mark.parametrize("name", COMPILED)
def test_the_report_is_that_of_the_model_inside(name: str) -> None:
    reports = [bnlint.check(model, inputs=(IMAGES,), run=True) for model in (network(), COMPILED[name](network()))]
    assert reports[0].findings == reports[1].findings
    assert reports[0].coverage == reports[1].coverage
    assert reports[0].not_run == reports[1].not_run


@pytest.mark.parametrize("name", COMPILED)
def test_the_folded_model_is_the_model_inside(name: str) -> None:
    expected = bnlint.fold(network(), (IMAGES,))
    model = COMPILED[name](network())
    before = copy.deepcopy(network().state_dict())
    result = bnlint.fold(model, (IMAGES,))
    assert result.verified
    assert [item.layer for item in result.folds] == [item.layer for item in expected.folds] == ["1", "3.1"]
    assert result.model.state_dict().keys() == expected.model.state_dict().keys()
    assert torch.equal(result.model(IMAGES), expected.model(IMAGES))
    assert all(map(torch.equal, before.values(), model.state_dict().values()) if name != "averaged" else [True])


@pytest.mark.parametrize("name", ["part", "in place", "whole and part"])
def test_a_fold_in_place_reaches_the_users_own_modules(name: str) -> None:
    plain = network()
    expected, model = plain(IMAGES), COMPILED[name](plain)
    result = bnlint.fold(model, (IMAGES,), inplace=True)
    assert result.verified
    assert result.model is plain
    assert not any(isinstance(module, nn.BatchNorm2d) for module in plain.modules())
    with torch.compiler.set_stance("force_eager"):
        assert torch.allclose(model(IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [torch.compile, nn.DataParallel, in_place, lambda model: part(model, "eager")],
    ids=["compiled", "parallel", "in place", "part"],
)
def test_a_saved_model_has_the_names_of_the_model_inside(wrap: Any, trust: bool, tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "plain.pt")
    torch.save(wrap(network()), tmp_path / "wrapped.pt")
    plain, wrapped = (
        bnlint.inspect(tmp_path / f"{name}.pt", inputs="2x3x4x4", trust=trust) for name in ("plain", "wrapped")
    )
    assert [(norm.layer, norm.fed_by) for norm in wrapped.norms] == [(norm.layer, norm.fed_by) for norm in plain.norms]
    assert [norm.layer for norm in wrapped.norms] == ["1", "3.1"]
