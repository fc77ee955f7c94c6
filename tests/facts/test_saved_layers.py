"""A whole model that was read as data gives the facts that the live model gives, as far as a file holds them."""

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
from bnlint.facts.families.names import CONFIGURATION, IDENTITY, MODE, STATISTICS
from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import Need, vocabulary
from bnlint.linter import inspect
from tests.models import with_plausible_statistics

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")

NEEDS_CODE = {Need.GRAPH, Need.CODE, Need.RUN, Need.PADDING, Need.DATA}
COMPARED = [
    name
    for name, entry in vocabulary(NormFacts).items()
    if entry.fact.family in (IDENTITY, MODE, CONFIGURATION, STATISTICS) and not NEEDS_CODE & set(entry.fact.needs)
]


def half_trained() -> nn.Module:
    model = with_plausible_statistics(torchvision.models.resnet18()).eval()
    model.layer3[1].bn2.train()
    model.layer1[0].bn1.momentum = None
    model.layer1[0].bn2.running_mean[3] = torch.nan
    model.layer2.requires_grad_(False)
    model.bn1.reset_running_stats()
    return model


class Renamed(nn.BatchNorm2d):
    pass


MODELS = {
    "resnet18 with faults": half_trained,
    "efficientnet_b0": lambda: with_plausible_statistics(timm.create_model("efficientnet_b0")),
    "levit_128s": lambda: with_plausible_statistics(timm.create_model("levit_128s")).eval(),
    "vit_tiny": lambda: timm.create_model("vit_tiny_patch16_224").eval(),
    "frozen": lambda: nn.Sequential(torchvision.ops.FrozenBatchNorm2d(4), nn.BatchNorm2d(4)).eval(),
    "every kind": lambda: nn.Sequential(
        nn.BatchNorm1d(4, affine=False),
        nn.BatchNorm3d(4, track_running_stats=False),
        nn.SyncBatchNorm(4),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        nn.InstanceNorm1d(4),
        nn.LayerNorm((3, 4), elementwise_affine=False),
        nn.GroupNorm(2, 4),
        nn.RMSNorm(4),
        nn.LocalResponseNorm(3),
        Renamed(4),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_facts_of_a_file_are_those_of_the_live_model(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    torch.save(model, tmp_path / "model.pt")
    live = {record.layer: record for record in inspect(model).norms}
    saved = inspect(tmp_path / "model.pt").norms
    assert {record.layer for record in saved} == set(live)
    for record in saved:
        known = {fact: value for fact in COMPARED if (value := getattr(record, fact)) is not UNKNOWN}
        assert known == {fact: getattr(live[record.layer], fact) for fact in known}, record.layer
        lost = {fact for fact in COMPARED if fact not in known and getattr(live[record.layer], fact) is not UNKNOWN}
        assert lost <= {"spatial_dims"}, record.layer  # of a class that is not at hand
        assert UNKNOWN not in (record.training, record.momentum, record.eps, record.learns_statistics)


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
