"""One plan: what the facts, `plan`, a dry run and `fold` say of a BatchNorm is the same, and so is the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.folding.program import fold_program
from bnlint.folding.settled import settle
from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import assert_agreement, awkward, images, outputs, reference, relative_error


def reads(attribute: Callable[[nn.Module], object]) -> nn.Module:
    """A model whose forward also reads something of a layer that could be folded away, or into."""

    def compute(m: nn.Module, x: Tensor) -> Tensor:
        attribute(m)
        return m.bn(m.conv(x))

    return model_of(compute, conv=conv(), bn=nn.BatchNorm2d(8))


READERS: dict[str, Callable[[nn.Module], object]] = {
    "number of features": lambda m: m.bn.num_features,
    "eps": lambda m: m.bn.eps + 1,
    "running mean": lambda m: m.bn.running_mean,
    "counter": lambda m: m.bn.num_batches_tracked,
    "scale": lambda m: m.bn.weight,
    "a layer's repr": lambda m: repr(m.bn).index("eps"),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_code_that_reads_the_layer_keeps_it_in_the_facts_too(reader: Callable[[nn.Module], object]) -> None:
    model = awkward(reads(reader))
    result = bnlint.fold(model, (SQUARE,))
    assert [kept.layer for kept in result.kept] == ["bn"]
    assert_agreement(model, (SQUARE,), result)
    assert [f.code for f in bnlint.check(model, inputs=(SQUARE,), select=("BN601", "BN602")).findings] == ["BN602"]


@pytest.mark.parametrize(
    ("dtype", "gain", "folds"),
    [
        (torch.float16, 1e-6, False),
        (torch.float16, 1.0, True),
        (torch.bfloat16, 1e-6, True),
        (torch.float32, 1e-6, True),
        (torch.float32, 1e-40, False),
        (torch.float32, 1e37, True),
        (torch.float64, 1e-300, True),
    ],
)
def test_what_the_data_type_cannot_hold_is_kept_by_all(dtype: torch.dtype, gain: float, folds: bool) -> None:
    model = awkward(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8))).to(dtype)
    model[0].weight.data.fill_(0.05)
    model[1].weight.data.fill_(gain)
    model[1].running_var.fill_(1)
    inputs = (images(2, 3, 8, 8).to(dtype),)
    result = bnlint.fold(model, inputs)
    assert [item.layer for item in result.folds] == (["1"] if folds else [])
    assert_agreement(model, inputs, result)


class WithoutMean(nn.BatchNorm2d):
    """Divides by the running variance alone. Input (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.running_mean = None

    def forward(self, x: Tensor) -> Tensor:
        return x / (self.running_var.view(1, -1, 1, 1) + self.eps).sqrt()  # type: ignore[union-attr]


def test_a_class_that_does_without_one_statistic_is_kept_by_all() -> None:
    model = nn.Sequential(nn.Conv2d(8, 8, 1), WithoutMean(8)).eval()
    model[1].running_var.fill_(2)  # type: ignore[union-attr,operator]
    result = bnlint.fold(model, (SQUARE,))
    assert [kept.reason for kept in result.kept] == ["it has no running_mean, so what it computes is not known"]
    assert_agreement(model, (SQUARE,), result)


def by_values(m: nn.Module, x: Tensor) -> Tensor:
    """Picks the place with the largest sum, as pose estimators do with their heat maps."""
    heat = m.bn(m.conv(x))
    return heat.flatten(2)[:, :, int(heat.sum((0, 1)).argmax()) :]


def test_a_forward_that_picks_places_by_value_folds_as_planned() -> None:
    model = awkward(model_of(by_values, conv=conv(), bn=nn.BatchNorm2d(8)))
    expected = reference(model, (SQUARE,))
    result = bnlint.fold(model, (SQUARE,))
    assert [item.layer for item in result.folds] == ["bn"]
    assert relative_error(expected, outputs(result.model, (SQUARE,))) < 2e-5
    assert_agreement(model, (SQUARE,), result)
    assert [item.layer for item in bnlint.plan(model, ("2x8x8x8",)).folds] == ["bn"]


def test_a_graph_is_planned_as_it_is_folded() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        return F.relu(m.bn2(m.conv(m.bn(m.conv(x)))))

    model = awkward(model_of(compute, conv=nn.Conv2d(8, 8, 1), bn=nn.BatchNorm2d(8), bn2=nn.BatchNorm2d(8)))
    planned = settle(model, (SQUARE,), as_graph=True).plan
    result = bnlint.fold(model, (SQUARE,), as_graph=True)
    assert [(fold.layer, fold.into) for fold in planned.folds] == [(fold.layer, fold.into) for fold in result.folds]
    assert len(result.folds) == 2
    assert planned.kept == result.kept


PROGRAMS: dict[str, Callable[[], nn.Module]] = {
    "folds": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
    "in half precision": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).half(),
    "after an activation": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8)),
    "no statistics": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
    ),
}


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_is_folded_as_its_facts_say(make: Callable[[], nn.Module]) -> None:
    model = awkward(make())
    if any(tensor.dtype is torch.float16 for tensor in model.parameters()):
        model[1].weight.data.fill_(1e-6)
    dtype = next(model.parameters()).dtype
    program = torch.export.export(model, (images(2, 3, 8, 8).to(dtype),))
    result = fold_program(program).result
    folded = {item.layer: frozenset(item.into) for item in result.folds}
    causes = {item.layer: item.cause for item in result.kept}
    records = bnlint.inspect(program).norms
    assert {record.layer for record in records} == folded.keys() | causes.keys()
    for record in records:
        assert (record.foldable, record.folds_into, record.fold_obstacle) == (
            record.layer in folded,
            folded.get(record.layer, frozenset()),
            causes.get(record.layer),
        )


def test_a_program_that_trains_in_part_decides_layer_by_layer() -> None:
    model = awkward(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)))
    model[3].train()
    found = {item.layer: item for item in bnlint.inspect(torch.export.export(model, (images(2, 3, 8, 8),))).norms}
    assert (found["1"].foldable, found["1"].folds_into) == (True, frozenset({"0"}))
    assert (found["3"].foldable, found["3"].fold_obstacle) == (False, "the program was exported in training mode")
