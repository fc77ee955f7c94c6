"""What is said of files of weights beside findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bnlint
import tests.torchvision_ops  # noqa: F401 - before timm and torchvision
from bnlint.report import Report
from tests.models import with_plausible_statistics

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")

MODELS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": torchvision.models.resnet18,
    "mobilenet_v2": torchvision.models.mobilenet_v2,
    "densenet121": torchvision.models.densenet121,
    "convnext_tiny": torchvision.models.convnext_tiny,
    "vit_tiny": lambda: timm.create_model("vit_tiny_patch16_224"),
    "resnet50_gn": lambda: timm.create_model("resnet50_gn"),
}


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def parameters_with_metadata(model: nn.Module) -> dict[str, Tensor]:
    weights = model.state_dict()
    for name in weights.keys() - parameters(model):
        del weights[name]
    return weights


def report_on(weights: dict[str, Tensor], folder: Path) -> Report:
    torch.save(weights, folder / "model.pt")
    return bnlint.check(folder / "model.pt")


@pytest.mark.parametrize(
    ("name", "keep", "layers", "other_kind"),
    [
        ("resnet18", parameters, 20, "GroupNorm"),
        ("mobilenet_v2", parameters, 52, "GroupNorm"),
        ("mobilenet_v2", parameters_with_metadata, 52, "InstanceNorm"),
        ("densenet121", parameters_with_metadata, 121, "InstanceNorm"),
    ],
)
def test_batch_norm_of_which_only_parameters_were_saved(
    name: str, keep: Callable[..., dict[str, Tensor]], layers: int, other_kind: str, tmp_path: Path
) -> None:
    report = report_on(keep(MODELS[name]()), tmp_path)
    assert report.coverage.kinds == {"unknown": layers}
    assert report.findings == ()
    (note,) = report.coverage.notes
    assert note.startswith(f"{layers} layers, such as `")
    assert "only its parameters were saved" in note
    assert f"right for {other_kind}" in note
    undecided = {item.code: item for item in report.not_run}
    assert len(undecided["BN104"].layers) == layers  # unknown is not clean


def test_metadata_and_names_make_it_certain(tmp_path: Path) -> None:
    report = report_on(parameters_with_metadata(MODELS["resnet18"]()), tmp_path)
    (finding,) = report.findings
    assert (finding.code, len(finding.layers)) == ("BN104", 17)
    (note,) = report.coverage.notes
    assert note.startswith("3 layers, such as `layer2.0.downsample.1`, ")


@pytest.mark.parametrize("name", ["convnext_tiny", "vit_tiny", "resnet50_gn"])
def test_healthy_weights_without_statistics_are_left_alone(name: str, tmp_path: Path) -> None:
    assert report_on(MODELS[name]().state_dict(), tmp_path).coverage.notes == ()


@pytest.mark.parametrize("name", ["convnext_tiny", "vit_tiny"])
def test_parameters_alone_are_all_of_a_model_with_layer_norm(name: str, tmp_path: Path) -> None:
    assert report_on(parameters(MODELS[name]()), tmp_path).coverage.notes == ()


def test_group_norm_beside_batch_norm_with_statistics_is_no_doubt(tmp_path: Path) -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1, bias=False), nn.GroupNorm(2, 4))
    report = report_on(dict(with_plausible_statistics(model).state_dict()), tmp_path)
    assert report.coverage.kinds == {"batch_norm": 1, "unknown": 1}
    assert report.coverage.notes == ()


def test_one_layer_is_one(tmp_path: Path) -> None:
    (note,) = report_on(parameters(nn.ModuleDict({"bn": nn.BatchNorm2d(4)})), tmp_path).coverage.notes
    assert note.startswith("One layer, `bn`, has a scale")


def test_a_scale_alone_is_not_said_to_have_a_shift(tmp_path: Path) -> None:
    assert report_on({"bn.weight": torch.ones(4)}, tmp_path).coverage.notes == ()
