"""Half of the statistics: of live layers, of layers in files, and of weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN
from tests.models import with_plausible_statistics

STATISTICS = ("running_mean", "running_var")


class MeanOnly(nn.BatchNorm2d):
    """Needs no variance."""

    def forward(self, x: Tensor) -> Tensor:
        return x - self.running_mean.view(1, -1, 1, 1)


class Unchanged(nn.BatchNorm2d):
    """A name of its own for the layer of torch."""


def network(layer: nn.Module) -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), layer, nn.ReLU())
    with_plausible_statistics(model).eval()
    return model


def without(model: nn.Sequential, name: str) -> nn.Sequential:
    setattr(model[1], name, None)
    return model


def deleted(model: nn.Sequential, name: str) -> nn.Sequential:
    delattr(model[1], name)
    return model


def live(target: object, _: Path) -> NormFacts:
    (record,) = bnlint.inspect(target).norms  # type: ignore[arg-type]
    return record


def saved(target: object, folder: Path) -> NormFacts:
    torch.save(target, folder / "model.pt")
    (record,) = bnlint.inspect(folder / "model.pt").norms
    return record


@pytest.mark.parametrize("look", [live, saved])
@pytest.mark.parametrize("take_away", [without, deleted])
@pytest.mark.parametrize("name", STATISTICS)
def test_a_layer_that_lost_one(
    look: Callable[..., NormFacts], take_away: Callable[..., nn.Module], name: str, tmp_path: Path
) -> None:
    record = look(take_away(network(nn.BatchNorm2d(4)), name), tmp_path)
    assert (record.missing_statistic, record.has_running_statistics) == (name, False)
    assert record.uses_batch_statistics is False  # in eval mode torch refuses to run such a layer


@pytest.mark.parametrize("look", [live, saved])
@pytest.mark.parametrize("layer", [nn.BatchNorm2d(4), nn.BatchNorm2d(4, track_running_stats=False), nn.LayerNorm(4)])
def test_both_or_none(look: Callable[..., NormFacts], layer: nn.Module, tmp_path: Path) -> None:
    assert look(network(layer), tmp_path).missing_statistic is None


@pytest.mark.parametrize("look", [live, saved])
def test_a_class_with_arithmetic_of_its_own_may_need_one_alone(look: Callable[..., NormFacts], tmp_path: Path) -> None:
    record = look(without(network(MeanOnly(4)), "running_var"), tmp_path)
    assert record.missing_statistic is UNKNOWN
    assert look(network(MeanOnly(4)), tmp_path).missing_statistic is None


def test_a_class_with_the_arithmetic_of_torch_needs_both() -> None:
    assert live(without(network(Unchanged(4)), "running_var"), Path()).missing_statistic == "running_var"


def test_a_statistic_that_cannot_be_read_is_not_missing(tmp_path: Path) -> None:
    model = network(nn.BatchNorm2d(4))
    model[1].running_var = torch.ones(4).to_sparse()
    record = saved(model, tmp_path)
    assert record.missing_statistic is UNKNOWN
    assert record.has_running_statistics is UNKNOWN
    assert {item.code for item in bnlint.check(tmp_path / "model.pt").not_run} >= {"BN104", "BN512"}


class ComputedVariance(nn.Module):
    """Calls the function with a variance that is no buffer as it stands. Input (N, 4, H, W)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("deviation", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.mean, self.deviation.square())


@pytest.mark.parametrize("exported", [False, True])
def test_a_statistic_that_is_computed_is_not_missing(exported: bool) -> None:
    model, images = ComputedVariance().eval(), torch.rand(2, 4, 3, 3)
    target = torch.export.export(model, (images,)) if exported else model
    records = bnlint.inspect(target, inputs=None if exported else (images,)).norms
    assert [record.missing_statistic for record in records] == [None]


@pytest.mark.parametrize("name", STATISTICS)
def test_weights_that_lost_one(name: str, tmp_path: Path) -> None:
    weights = network(nn.BatchNorm2d(4)).state_dict()
    del weights[f"1.{name}"]
    assert saved(weights, tmp_path).missing_statistic == name
    report = bnlint.check(tmp_path / "model.pt")
    assert [(finding.code, finding.layers) for finding in report.findings] == [("BN512", ("1",))]
    assert report.coverage.notes == ()


def test_metadata_shows_normalisation_without_statistics(tmp_path: Path) -> None:
    model = nn.ModuleDict(
        {
            "bn1": nn.BatchNorm2d(4, track_running_stats=False),
            "bn2": nn.BatchNorm2d(4, affine=False, track_running_stats=False),
            "bn3": nn.BatchNorm2d(4, affine=False),
            "gn": nn.GroupNorm(2, 4),
        }
    )
    torch.save(with_plausible_statistics(model).state_dict(), tmp_path / "model.pt")
    report = bnlint.check(tmp_path / "model.pt")
    assert [(finding.code, finding.layers) for finding in report.findings] == [("BN104", ("bn1", "bn2"))]
    assert report.coverage.kinds == {"batch_norm": 3, "group_norm": 1}
    torch.save(dict(model.state_dict()), tmp_path / "model.pt")  # without metadata
    assert bnlint.check(tmp_path / "model.pt").findings == ()


def test_one_file_of_several_may_have_been_cut_anywhere(tmp_path: Path) -> None:
    names = ["1.running_var", "1.num_batches_tracked", "4.weight", "4.num_batches_tracked"]
    weights = {name: torch.ones(()) if "tracked" in name else torch.ones(4) for name in names}
    for file, known in (("model-00002-of-00003.bin", False), ("model-1-of-2.bin", False), ("model.bin", True)):
        torch.save(weights, tmp_path / file)
        records = bnlint.inspect(tmp_path / file).norms
        assert [record.missing_statistic for record in records] == (
            ["running_mean", None] if known else [UNKNOWN, UNKNOWN]
        )
        assert [record.has_running_statistics for record in records] == ([False] * 2 if known else [UNKNOWN] * 2)
