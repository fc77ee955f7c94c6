"""Whole models read as data: classes that are not at hand, and what a file cannot show.

That their facts are those of the live model is in `tests/parity/`.
"""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import bnlint
import tests.torchvision_ops  # noqa: F401 - before timm and torchvision
from bnlint.facts.unknown import UNKNOWN
from bnlint.linter import inspect
from tests.models import with_plausible_statistics

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")


def test_a_class_that_is_not_installed_is_checked(tmp_path: Path) -> None:
    module = types.ModuleType("not_installed_now")
    module.Hidden = type("Hidden", (nn.BatchNorm2d,), {"__module__": module.__name__})
    model = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 1), bn=module.Hidden(4))).eval()
    with_plausible_statistics(model)[1].train()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        torch.save(model, tmp_path / "model.pt")
    report = bnlint.check(tmp_path / "model.pt")
    assert [(finding.code, finding.layers) for finding in report.findings] == [("BN102", ("bn",))]
    assert all("--trust" in item.remedy for item in report.not_run if not item.opt_in)


def test_what_a_file_cannot_show_is_named_with_the_flag(tmp_path: Path) -> None:
    torch.save(with_plausible_statistics(torchvision.models.resnet18()).eval(), tmp_path / "model.pt")
    report = bnlint.check(tmp_path / "model.pt")
    assert report.findings == ()
    undecided = {item.code: item.remedy for item in report.not_run}
    assert "--trust" in undecided["BN201"]
    assert {"BN101", "BN102", "BN104", "BN501", "BN502"} <= set(report.passed)


def test_every_batch_norm_of_torch_is_known(tmp_path: Path) -> None:
    classes = [cls for cls in vars(nn).values() if isinstance(cls, type) and issubclass(cls, _BatchNorm)]
    assert len(classes) >= 4
    for cls in classes:
        torch.save(nn.Sequential(cls() if "Lazy" in cls.__name__ else cls(4)), tmp_path / "model.pt")
        assert [record.kind for record in inspect(tmp_path / "model.pt").norms] == ["batch_norm"], cls


def test_layers_whose_kind_names_do_not_tell_are_there(tmp_path: Path) -> None:
    """A transformer as timm names its layers, LayerNorms by the name of BatchNorm, and an InstanceNorm."""
    layers = {"norm1": nn.LayerNorm(4), "bn": nn.LayerNorm(4), "norm1d": nn.InstanceNorm1d(4, affine=True)}
    model = nn.ModuleDict(layers | {"fc": nn.Linear(4, 4)})
    with torch.no_grad():
        model["norm1"].weight[0] = torch.nan
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    table = inspect(tmp_path / "weights.pt")
    assert [(record.layer, record.kind) for record in table.norms] == [(name, UNKNOWN) for name in layers]
    assert (table.model.norm_layers, table.model.batch_norm_layers) == (3, UNKNOWN)
    report = bnlint.check(tmp_path / "weights.pt")
    assert [(finding.code, finding.layers) for finding in report.findings] == [("BN502", ("norm1",))]
    assert report.coverage.kinds == {"unknown": 3}
    assert "BN401" in {item.code for item in report.not_run}  # of BatchNorm, which any of them might be


class NamedBatchNorm(nn.Module):
    """A BatchNorm by its name alone: its code is not in a file."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(4))
        self.register_buffer("running_var", torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("training", "uses", "ignores"), [(True, True, False), (False, UNKNOWN, UNKNOWN)], ids=["train", "eval"]
)
def test_the_flag_of_a_class_that_is_a_batch_norm_by_name_is_not_believed(
    training: bool, uses: object, ignores: object, tmp_path: Path
) -> None:
    torch.save(nn.Sequential(NamedBatchNorm()).train(training), tmp_path / "model.pt")
    (facts,) = inspect(tmp_path / "model.pt").norms
    assert (facts.kind, facts.uses_batch_statistics, facts.ignores_eval) == ("batch_norm", uses, ignores)
    report = bnlint.check(tmp_path / "model.pt")
    assert ("BN103" in {item.code for item in report.not_run}) is not training
