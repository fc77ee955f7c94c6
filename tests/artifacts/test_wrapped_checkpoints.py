"""Checkpoints in the forms that training tools write: Lightning, DDP, FSDP, torch.compile, EMA, teacher and student."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bnlint.artifacts.checkpoint import load_module
from bnlint.artifacts.loading import load_weights
from bnlint.artifacts.names import strip_paths
from bnlint.artifacts.read import read as read_target
from bnlint.artifacts.saved import Saved, read_saved
from bnlint.artifacts.sniff import Kind
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.norms.weights import named_layers
from tests.models import with_plausible_statistics


def network() -> nn.Module:
    return with_plausible_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))


def read(value: Any, folder: Path, key: str = "") -> Saved:
    path = folder / "last.ckpt"
    torch.save(value, path)
    return read_saved(path, "last.ckpt", Kind.TORCH_ZIP, key)


def batch_norms(found: Saved) -> list[str]:
    return [layer.path for layer in named_layers(found.tensors, found.versions)]


class AttributeDict(dict[str, Any]):
    """As `lightning.fabric.utilities.data.AttributeDict`: a dict with a state of its own."""

    def __reduce__(self) -> tuple[Any, ...]:
        return AttributeDict, (), {"frozen": True}, None, iter(self.items())


@pytest.mark.parametrize(
    "hyper_parameters",
    [{"lr": 0.1}, AttributeDict(lr=0.1, net=nn.ReLU()), argparse.Namespace(lr=0.1, nested={"a": [1]})],
    ids=["dict", "AttributeDict", "Namespace"],
)
def test_lightning_checkpoints(hyper_parameters: Any, tmp_path: Path) -> None:
    module = nn.ModuleDict({"model": network()})
    optimizer = torch.optim.AdamW(module.parameters())
    module["model"](torch.randn(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "global_step": 400,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": module.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": hyper_parameters,
    }
    found = read(checkpoint, tmp_path)
    assert found.notes[0] == "The entry `state_dict` of the checkpoint was read."
    assert batch_norms(found) == ["model.1"]
    assert found.versions["model.1"] == 2


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "_fsdp_wrapped_module."]
)
def test_wrappers_around_the_model_leave_no_trace(prefix: str, tmp_path: Path) -> None:
    weights = OrderedDict((prefix + name, tensor) for name, tensor in network().state_dict().items())
    paths = {"": 1, prefix[:-1]: 1, f"{prefix}0": 1, f"{prefix}1": 2}
    weights._metadata = OrderedDict((path, {"version": version}) for path, version in paths.items())
    found = read({"state_dict": weights}, tmp_path)
    assert list(found.tensors) == list(network().state_dict())
    assert batch_norms(found) == ["1"]
    assert {path: found.versions[path] for path in ("0", "1")} == {"0": 1, "1": 2}
    assert not any(wrapper in path for path in found.versions for wrapper in ("module", "_orig_mod"))


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_weights_of_a_wrapped_model(wrap: Any, tmp_path: Path) -> None:
    found = read(wrap(network()).state_dict(), tmp_path)
    assert list(found.tensors) == list(network().state_dict())
    assert found.versions["1"] == 2


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_wrappers_of_single_layers_leave_no_trace(wrapper: str, tmp_path: Path) -> None:
    statistics_free = nn.BatchNorm2d(4, affine=False, track_running_stats=False)
    inner = nn.ModuleDict({wrapper: nn.Sequential(nn.BatchNorm2d(4), statistics_free)})
    found = read(nn.ModuleDict({"stem": nn.Conv2d(3, 4, 1), "stage": inner}).state_dict(), tmp_path)
    assert batch_norms(found) == ["stage.0", "stage.1"]
    assert set(found.versions) == {"", "stem", "stage", "stage.0", "stage.1"}


def test_the_weights_in_training_come_before_their_average(tmp_path: Path) -> None:
    model = network()
    timm = {"epoch": 1, "arch": "x", "state_dict": model.state_dict(), "state_dict_ema": model.double().state_dict()}
    assert read(timm, tmp_path).tensors["1.running_var"].dtype == "float32"
    assert read(timm, tmp_path, "state_dict_ema").tensors["1.running_var"].dtype == "float64"


def test_whole_models_are_chosen_in_the_same_way(tmp_path: Path) -> None:
    yolo = {"epoch": -1, "model": network().eval(), "ema": network().train(), "updates": 3, "optimizer": None}
    assert read(yolo, tmp_path).modules[0].training is False
    assert read(yolo, tmp_path, "ema").modules[0].training is True


def test_a_teacher_and_a_student_are_listed(tmp_path: Path) -> None:
    weights = {f"module.backbone.{name}": tensor for name, tensor in network().state_dict().items()}
    dino = {"student": weights, "teacher": dict(weights), "dino_loss": {"center": torch.zeros(1, 8)}, "epoch": 1}
    with pytest.raises(NotAnalysedError, match="`student`, `teacher`"):
        read(dino, tmp_path)
    assert batch_norms(read(dino, tmp_path, "teacher")) == ["backbone.1"]
    with pytest.raises(UsageError, match="no `pupil`"):
        read(dino, tmp_path, "pupil")


def test_paths_lose_what_names_lose() -> None:
    names = ["module.a._orig_mod.weight", "module.b.weight"]
    paths = ["", "module", "module.a", "module.a._orig_mod", "module.b"]
    assert strip_paths(paths, names) == {"": "module", "a": "module.a._orig_mod", "b": "module.b"}


def test_paths_keep_what_names_keep() -> None:
    names = ["a._orig_mod.weight", "a.weight"]  # without the wrapper they would be one
    assert set(strip_paths(["a", "a._orig_mod"], names)) == {"a", "a._orig_mod"}


def test_models_in_a_list_are_chosen_by_their_place(tmp_path: Path) -> None:
    ensemble = [network().eval(), network().train()]
    with pytest.raises(NotAnalysedError, match="`0`, `1`"):
        read(ensemble, tmp_path)
    assert read(ensemble, tmp_path, "1").modules[0].training is True
    assert read([network()], tmp_path).notes == ("The entry `0` of the checkpoint was read.",)


def test_a_model_in_an_attribute_of_another_object(tmp_path: Path) -> None:
    found = read(argparse.Namespace(model=network(), loss=nn.CrossEntropyLoss(), epoch=3), tmp_path)
    assert found.keys == ("model",)
    assert [module.path for module in found.modules] == ["", "0", "1"]


def test_a_loss_beside_the_weights_is_no_model(tmp_path: Path) -> None:
    found = read({"net": network().state_dict(), "criterion": nn.CrossEntropyLoss()}, tmp_path)
    assert found.keys == ("net",)


def test_what_else_could_have_been_read_is_named(tmp_path: Path) -> None:
    checkpoint = {"model": network().state_dict(), "ema": network().state_dict(), "center": torch.zeros(1, 8)}
    assert read(checkpoint, tmp_path).notes[0] == (
        "The entry `model` of the checkpoint was read; `--key` chooses another: `ema`."
    )
    assert read(checkpoint, tmp_path, "ema").notes[0] == "The entry `ema` of the checkpoint was read."


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.optim.swa_utils.AveragedModel, torch.compile])
def test_a_wrapper_is_taken_off_whoever_loads_the_model(wrap: Any, trust: bool, tmp_path: Path) -> None:
    wrapped = wrap(network())
    torch.save(wrapped, tmp_path / "model.pt")
    made = read_target(str(tmp_path / "model.pt"), trust=trust)
    assert isinstance(made.module, nn.Sequential)
    assert f"The wrapper {type(wrapped).__name__} was taken off the model." in made.notes


def test_a_flat_parameter_is_named_with_what_to_save_instead(tmp_path: Path) -> None:
    weights = {"0._fsdp_wrapped_module._flat_param": torch.ones(8), "1.running_mean": torch.ones(2)}
    (remark,) = [note for note in read(weights, tmp_path).notes if "flat parameter" in note]
    assert "`0._flat_param`" in remark
    assert "full state_dict" in remark
    assert not any("flat parameter" in note for note in read(network().state_dict(), tmp_path).notes)
    with pytest.raises(NotAnalysedError) as caught:
        load_weights(network(), weights, "w.pt")
    assert "full state_dict" in caught.value.hint


def test_a_trusted_model_is_found_by_place_and_attribute(tmp_path: Path) -> None:
    path = tmp_path / "nested.pt"
    torch.save([argparse.Namespace(model=network())], path)
    loaded = load_module(path, "nested.pt", Kind.TORCH_ZIP, ("0", "model"))
    assert isinstance(loaded, nn.Sequential)


def test_a_long_history_does_not_hide_the_weights(tmp_path: Path) -> None:
    history = [{"loss": torch.ones(())} for _ in range(300)]
    found = read({"history": history, "state_dict": network().state_dict()}, tmp_path)
    assert found.keys == ("state_dict",)
