"""The five subjects of bnlint on models that nobody here wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import bnlint
import tests.torchvision_ops  # noqa: F401 - before torchvision and timm
from bnlint.report import Report
from tests.models import with_plausible_statistics
from tests.zoo.sequence_models import PatchTransformer, RecurrentTagger

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")


def real(name: str) -> nn.Module:
    return with_plausible_statistics(timm.create_model(name)).eval()


def codes(report: Report) -> dict[str, tuple[str, ...]]:
    """What was found by code, without the advice on folding, which every healthy model gets."""
    return {finding.code: finding.layers for finding in report.findings if not finding.code.startswith("BN6")}


def batch_norms(model: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, layer in model.named_modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm))


def test_convmixer_normalises_after_the_activation() -> None:
    model = real("convmixer_768_32")
    found = codes(bnlint.check(model))
    assert set(found) == {"BN201"}
    assert set(found["BN201"]) == set(batch_norms(model))


def test_a_model_saved_in_training_mode(tmp_path: Path) -> None:
    model = real("mobilenetv3_small_100").train()
    torch.save(model, tmp_path / "model.pt")
    report = bnlint.check(tmp_path / "model.pt", trust=True)
    assert set(codes(report)["BN101"]) == set(batch_norms(model))
    assert "BN102" not in codes(report)
    assert report.exit_code == 1


def test_one_layer_left_in_training_mode(tmp_path: Path) -> None:
    model = torchvision.models.resnet18().eval()
    model.layer3[1].bn2.train()
    torch.save(with_plausible_statistics(model), tmp_path / "model.pt")
    found = codes(bnlint.check(tmp_path / "model.pt", trust=True))
    assert found == {"BN102": ("layer3.1.bn2",)}


def test_a_new_model_has_dead_statistics_in_every_form(tmp_path: Path) -> None:
    model = torchvision.models.resnet18().eval()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    expected = {"BN501": set(batch_norms(model))}
    for target in (model, tmp_path / "weights.pth"):
        assert {code: set(layers) for code, layers in codes(bnlint.check(target)).items()} == expected


def test_a_counter_of_zero_with_real_statistics_is_not_never_updated() -> None:
    model = real("resnet50")
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked.zero_()
    assert codes(bnlint.check(model)) == {}


def test_a_batch_of_one_meets_the_pooling_branch_of_deeplab_only() -> None:
    model = torchvision.models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None)
    report = bnlint.check(with_plausible_statistics(model).eval(), inputs=("1x3x512x512",), batch_size=1)
    assert codes(report)["BN302"] == ("classifier.0.convs.4.2",)


def test_time_series_transformer_with_batch_norm() -> None:
    """PatchTST (Nie et al. 2023): patches of each series are tokens, and BatchNorm1d normalises them."""
    report = bnlint.check(with_plausible_statistics(PatchTransformer()).eval(), inputs=("4x3x96",))
    assert codes(report) == {"BN401": ("layers.0.norm1.1", "layers.0.norm2.1", "layers.1.norm1.1", "layers.1.norm2.1")}


def test_recurrent_network_with_batch_norm_over_time_steps() -> None:
    report = bnlint.check(with_plausible_statistics(RecurrentTagger()).eval(), inputs=("4x20:int64",))
    assert codes(report) == {"BN401": ("norm",)}
