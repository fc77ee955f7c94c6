"""The same fault through every form in which a model is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import nn

import bnlint
from tests.models import ConvNet, with_plausible_statistics


def network() -> nn.Module:
    model = with_plausible_statistics(ConvNet()).eval()
    model.bn2.running_var[0] = -1.0
    return model


def sharded(model: nn.Module, folder: Path) -> Path:
    weights = model.state_dict()
    names = list(weights)
    shards = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for file, own in shards.items():
        save_file({name: weights[name] for name in own}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, own in shards.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder / "model.safetensors.index.json"


def hugging_face(model: nn.Module, folder: Path) -> Path:
    sharded(model, folder)
    (folder / "config.json").write_text("{}")
    return folder


def saved(value: object, folder: Path, **options: object) -> Path:
    torch.save(value, folder / "model", **options)
    return folder / "model"


def scripted(model: nn.Module, folder: Path) -> Path:
    torch.jit.save(torch.jit.script(model), folder / "model")
    return folder / "model"


def exported(model: nn.Module, folder: Path) -> Path:
    torch.export.save(torch.export.export(model, (torch.zeros(2, 3, 8, 8),)), folder / "model.pt2")
    return folder / "model.pt2"


def distributed(model: nn.Module, folder: Path) -> Path:
    dcp.save(model.state_dict(), checkpoint_id=folder / "checkpoint")
    return folder / "checkpoint"


def safetensors(model: nn.Module, folder: Path) -> Path:
    save_file(model.state_dict(), folder / "model")
    return folder / "model"


FORMS: dict[str, Callable[[nn.Module, Path], Path]] = {
    "whole model": saved,
    "whole model, older form": lambda model, folder: saved(model, folder, _use_new_zipfile_serialization=False),
    "model in a checkpoint": lambda model, folder: saved({"epoch": 1, "model": model}, folder),
    "state_dict": lambda model, folder: saved(model.state_dict(), folder),
    "nested state_dict": lambda model, folder: saved({"ema": {"state_dict": model.state_dict()}}, folder),
    "safetensors": safetensors,
    "sharded": sharded,
    "Hugging Face folder": hugging_face,
    "distributed checkpoint": distributed,
    "TorchScript": scripted,
    "exported program": exported,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_a_negative_variance_is_found_in_every_form(form: str, tmp_path: Path) -> None:
    report = bnlint.check(FORMS[form](network(), tmp_path), select="BN503")
    assert [(finding.code, finding.layers) for finding in report.findings] == [("BN503", ("bn2",))]


HOLDS_A_MODE = ("whole model", "whole model, older form", "model in a checkpoint", "TorchScript")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_a_mode_is_found_where_the_form_holds_it_and_unknown_elsewhere(form: str, tmp_path: Path) -> None:
    model = with_plausible_statistics(ConvNet()).eval()
    model.bn1.train()
    report = bnlint.check(FORMS[form](model, tmp_path), select="BN1")
    found = {finding.code: finding.layers for finding in report.findings}
    if form in HOLDS_A_MODE:
        assert found == {"BN102": ("bn1",)}
    elif form == "exported program":
        assert found == {"BN103": ("bn1",)}
    else:
        assert found == {}
        assert "BN102" in {item.code for item in report.not_run}


@pytest.mark.filterwarnings("ignore")
def test_training_mode_that_was_traced_into_torchscript(tmp_path: Path) -> None:
    model = with_plausible_statistics(ConvNet()).train()
    torch.jit.save(torch.jit.trace(model, torch.zeros(2, 3, 8, 8), check_trace=False), tmp_path / "model.pt")
    report = bnlint.check(tmp_path / "model.pt", select="BN1")
    assert {finding.code: finding.layers for finding in report.findings} == {"BN103": ("bn1", "bn2")}


def test_of_a_distributed_checkpoint_only_normalisation_layers_are_read(tmp_path: Path) -> None:
    path = distributed(network(), tmp_path)
    with pytest.raises(bnlint.NotAnalysedError, match="only normalisation layers are read"):
        bnlint.check("tests.models:ConvNet", weights=path)


@pytest.mark.parametrize("form", ["sharded", "Hugging Face folder"])
def test_weights_come_from_every_form(form: str, tmp_path: Path) -> None:
    path = FORMS[form](network(), tmp_path)
    report = bnlint.check("tests.models:ConvNet", weights=path, select="BN503")
    assert [finding.layers for finding in report.findings] == [("bn2",)]


def test_half_of_the_statistics_is_noted(tmp_path: Path) -> None:
    weights = network().state_dict()
    del weights["bn1.running_var"]
    report = bnlint.check(saved(weights, tmp_path))
    assert report.coverage.notes == ("`bn1` has a `running_mean` and no `running_var`.",)


@pytest.mark.parametrize("target", [{}, 3, None])
def test_what_is_no_target_is_one_sentence(target: object) -> None:
    with pytest.raises(bnlint.UsageError, match=r"^The target is a "):
        bnlint.check(target)  # type: ignore[arg-type]
