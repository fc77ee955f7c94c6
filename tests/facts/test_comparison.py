"""What the statistics of a layer are beside those of the others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import bnlint
from bnlint.facts.comparison import Comparison
from bnlint.facts.unknown import UNKNOWN


def layer(initial: Any = False, count: Any = 100) -> dict[str, Any]:
    return {"statistics_at_initial_values": initial, "batches_counted": count}


def others(*layers: dict[str, Any]) -> list[Any]:
    comparison = Comparison(layers)
    return [comparison.facts(own, among_them=True)["others_with_statistics"] for own in layers]


def ratios(*counts: Any) -> list[Any]:
    layers = [layer(count=count) for count in counts]
    comparison = Comparison(layers)
    return [comparison.facts(own, among_them=True)["batches_counted_ratio"] for own in layers]


def test_the_layer_itself_is_none_of_the_others() -> None:
    assert others(layer()) == [0]
    assert others(layer(), layer(), layer(initial=True, count=0)) == [1, 1, 2]


def test_a_counter_that_has_moved_is_data_too() -> None:
    assert others(layer(initial=True, count=5), layer(initial=True, count=0)) == [0, 1]


def test_a_layer_outside_the_module_tree_is_compared_with_all_in_it() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn, self.hidden = nn.BatchNorm1d(4), [nn.BatchNorm1d(4)]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.hidden[0](self.bn(x))

    model = Hidden()
    model(torch.randn(8, 4))
    table = bnlint.inspect(model.eval(), inputs=("2x4",))
    assert [record.others_with_statistics for record in table.norms] == [0, 1]


def test_layers_without_statistics_do_not_take_part() -> None:
    assert others(layer(initial=None, count=None), layer()) == [None, 0]


def test_one_unreadable_layer_leaves_the_others_open() -> None:
    assert others(layer(initial=UNKNOWN, count=UNKNOWN), layer()) == [1, UNKNOWN]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([10, 10, 20], [1, 1, 2]),
        ([10, 20], [1, 2]),  # as many of each: what is twice as high stands out
        ([10, 10, 0], [1, 1, None]),
        ([0, 0], [None, None]),
        ([10, None], [1, None]),
        ([10, UNKNOWN], [UNKNOWN, UNKNOWN]),
    ],
)
def test_counters_against_the_usual_one(counts: list[Any], expected: list[Any]) -> None:
    assert ratios(*counts) == expected


def test_a_layer_that_is_called_twice_is_one_layer() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.bn = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bn(self.shared(self.shared(x)))

    model = Shared()
    model(torch.randn(8, 4))
    table = bnlint.inspect(model.eval(), inputs=("2x4",))
    assert [record.others_with_statistics for record in table.norms] == [1, 1, 1]
    assert [record.batches_counted_ratio for record in table.norms] == [2, 2, 1]


def test_a_state_dict_is_compared_too(tmp_path: Any) -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    model[0](torch.randn(8, 4))
    torch.save(model.state_dict(), tmp_path / "half.pth")
    table = bnlint.inspect(tmp_path / "half.pth")
    assert [record.others_with_statistics for record in table.norms] == [0, 1]
