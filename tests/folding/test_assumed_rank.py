"""A fold that holds only for the rank of inputs that bnlint assumed is left out until the user gives one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import bnlint
from tests.folding.proof import awkward


def square() -> nn.Module:
    """Takes (N, 12), and (N, 12, 12) with positions where the channels were."""
    return awkward(nn.Sequential(nn.Linear(12, 12), nn.BatchNorm1d(12), nn.Linear(12, 5)))


class Heads(nn.Module):
    """Two inputs, the BatchNorm before the linear layer that could take it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head(self.norm(x + y))


def test_the_fold_of_the_assumed_rank_is_wrong_for_the_other() -> None:
    model = square()
    sequences = torch.randn(4, 12, 12, generator=torch.Generator().manual_seed(0))
    folded = bnlint.fold(model, ("2x12",)).model
    with torch.no_grad():
        assert not torch.allclose(folded(sequences), model(sequences), rtol=0.1)


@pytest.mark.parametrize("as_graph", [False, True])
def test_it_stays_where_the_input_was_assumed(as_graph: bool) -> None:
    result = bnlint.fold(square(), as_graph=as_graph)
    assert (result.folds, result.inputs_assumed) == ((), True)
    assert "2x12x12" in result.kept[0].reason
    assert "give `--input`" in result.kept[0].cause
    assert [kept.layer for kept in bnlint.plan(square()).kept] == ["1"]


def test_also_before_a_linear_layer() -> None:
    assert [kept.layer for kept in bnlint.plan(awkward(Heads())).kept] == ["norm"]
    assert not bnlint.plan(awkward(Heads()), ("2x12", "2x12")).kept


def test_a_given_input_is_taken_at_its_word() -> None:
    result = bnlint.fold(square(), (torch.randn(3, 12),))
    assert [fold.layer for fold in result.folds] == ["1"]
    assert result.verified
    assert not result.inputs_assumed


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.Linear(16, 5), nn.BatchNorm1d(5)),
        nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.BatchNorm1d(16), nn.Linear(16, 5)),
    ],
    ids=["widths that differ", "flattened first"],
)
def test_what_takes_no_other_rank_folds_as_ever(model: nn.Module) -> None:
    result = bnlint.fold(awkward(model))
    assert result.inputs_assumed
    assert result.verified
    assert not result.kept


def test_check_says_what_fold_does() -> None:
    assumed, given = bnlint.check(square()), bnlint.check(square(), inputs=("2x12",))
    found = [{finding.code for finding in report.findings} for report in (assumed, given)]
    assert found[1] - found[0] == {"BN601"}
