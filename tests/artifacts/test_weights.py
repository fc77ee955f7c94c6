"""Weights are found in what people save, wrapper prefixes removed, and loaded whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.loading import load_weights
from bnlint.artifacts.names import strip_wrappers, wrapper_prefix
from bnlint.artifacts.read import read
from bnlint.errors import NotAnalysedError
from tests.models import ConvNet, with_plausible_statistics

_PIECES = st.sampled_from(["module", "_orig_mod", "conv", "0", "weight", "", "modules"])
_NAMES = st.sets(st.lists(_PIECES, min_size=1, max_size=4).map(".".join))


@given(_NAMES)
def test_stripping_a_prefix_loses_no_name(names: set[str]) -> None:
    prefix = wrapper_prefix(names)
    stored, _ = strip_wrappers(names)
    assert set(stored.values()) == names
    assert all(name.startswith(prefix) for name in names)
    assert wrapper_prefix(name.removeprefix(prefix) for name in names) == ""


def as_read(value: object, folder: Path) -> Artifact:
    torch.save(value, folder / "f.pt")
    return read(str(folder / "f.pt"))


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "_fsdp_wrapped_module."]
)
def test_wrapper_prefixes_are_stripped_and_noted(prefix: str, tmp_path: Path) -> None:
    found = as_read({prefix + key: value for key, value in ConvNet().state_dict().items()}, tmp_path)
    assert set(found.tensors) == set(ConvNet().state_dict())
    assert any(f"`{prefix}`" in note for note in found.notes)


def test_wrappers_within_names_are_stripped_and_noted(tmp_path: Path) -> None:
    tensors = {
        "layer1._fsdp_wrapped_module.0.weight": torch.zeros(2),
        "layer1._checkpoint_wrapped_module.1.bias": torch.ones(2),
    }
    found = as_read(tensors, tmp_path)
    assert set(found.tensors) == {"layer1.0.weight", "layer1.1.bias"}
    assert len(found.notes) == 2


def test_a_prefix_that_one_name_lacks_stays(tmp_path: Path) -> None:
    found = as_read({"module.weight": torch.zeros(1), "n_averaged": torch.zeros(())}, tmp_path)
    assert set(found.tensors) == {"module.weight", "n_averaged"}
    assert found.notes == ()


_STATE = {"bn.weight": torch.ones(2), "bn.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    ("saved", "entry"),
    [
        ({"model": _STATE, "epoch": 3}, "model"),
        ({"state_dict": _STATE, "optimizer": {"state": {}, "param_groups": []}}, "state_dict"),
        ({"model_state_dict": _STATE, "loss": torch.tensor(0.1)}, "model_state_dict"),
        ({"net": _STATE, "rng_state": torch.zeros(8)}, "net"),
        ({"state_dict": _STATE, "ema": dict(_STATE)}, "state_dict"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_checkpoint_entries(saved: dict[str, Any], entry: str, tmp_path: Path) -> None:
    found = as_read(saved, tmp_path)
    assert set(found.tensors) == set(_STATE)
    assert any(f"`{entry}`" in note for note in found.notes)


def test_several_sets_of_weights_are_not_guessed_at(tmp_path: Path) -> None:
    with pytest.raises(NotAnalysedError, match="several models or sets of weights: `generator`, `critic`"):
        as_read({"generator": dict(_STATE), "critic": dict(_STATE)}, tmp_path)


def test_a_mapping_that_holds_itself(tmp_path: Path) -> None:
    saved: dict[str, Any] = {"epoch": 1}
    saved["model"] = saved
    with pytest.raises(NotAnalysedError, match="without named tensors"):
        as_read(saved, tmp_path)


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({"a": "b"}, "a `dict` without named tensors"),
        ({}, "an empty `dict`"),
        ([1, 2], "a `list`"),
        (torch.zeros(2, 3), "a bare tensor of shape 2x3"),
        (None, "a `NoneType`"),
    ],
)
def test_what_is_no_checkpoint(saved: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(NotAnalysedError) as caught:
        as_read(saved, tmp_path)
    assert words in caught.value.cause


def _values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def test_weights_that_fit_arrive() -> None:
    source = with_plausible_statistics(ConvNet(), seed=3)
    model = ConvNet()
    assert load_weights(model, source.state_dict(), "w.pt") == ()
    arrived = model.state_dict()
    assert all(torch.equal(arrived[key], value) for key, value in source.state_dict().items())


@pytest.mark.parametrize("wrapped", ["file", "model"])
def test_a_wrapper_on_either_side_does_not_count(wrapped: str) -> None:
    source, model = with_plausible_statistics(ConvNet(), seed=3), ConvNet()
    given_side = nn.Sequential()
    given_side.add_module("module", source)
    model_side = nn.Sequential()
    model_side.add_module("module", model)
    if wrapped == "file":
        load_weights(model, given_side.state_dict(), "w.pt")
    else:
        load_weights(model_side, source.state_dict(), "w.pt")
    assert torch.equal(model.bn2.running_var, source.bn2.running_var)


def test_weights_that_do_not_fit_change_nothing() -> None:
    model = ConvNet()
    before = _values(model)
    tensors = _values(with_plausible_statistics(ConvNet()))
    del tensors["bn1.weight"], tensors["conv2.weight"]
    tensors["extra.bias"] = torch.zeros(1)
    tensors["head.weight"] = torch.zeros(7, 16)
    with pytest.raises(NotAnalysedError) as caught:
        load_weights(model, tensors, "w.pt")
    assert caught.value.cause == (
        "`w.pt` does not fit the model `ConvNet`: 2 keys are missing (first `bn1.weight`), 1 key is unexpected"
        " (first `extra.bias`), 1 key has another shape (first `head.weight`: 7x16 in the file, 10x16 in the model)."
    )
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_batch_counters_may_be_missing() -> None:
    source = with_plausible_statistics(ConvNet())
    tensors = {key: value for key, value in source.state_dict().items() if "num_batches" not in key}
    model = ConvNet()
    notes = load_weights(model, tensors, "old.pth")
    assert any("num_batches_tracked" in note and "2" in note for note in notes)
    assert torch.equal(model.bn1.running_mean, source.bn1.running_mean)


def test_a_lazy_model_takes_the_shapes_of_the_file() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    source = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    load_weights(model, source.state_dict(), "w.pt")
    assert model[0].weight.shape == (3, 5)
    assert torch.equal(model[0].weight, source[0].weight)


def test_a_prefix_without_which_all_names_fit_is_removed_and_noted() -> None:
    source, model = with_plausible_statistics(ConvNet(), seed=3), ConvNet()
    tensors = {f"net.body.{key}": value for key, value in source.state_dict().items()}
    notes = load_weights(model, tensors, "w.pt")
    assert torch.equal(model.bn2.running_var, source.bn2.running_var)
    assert notes == ("The prefix `net.body.` was removed from the names of the weights.",)


def test_a_prefix_without_which_some_names_do_not_fit_stays() -> None:
    tensors = {f"net.{key}": value for key, value in ConvNet().state_dict().items()}
    with pytest.raises(NotAnalysedError, match="1 key is unexpected"):
        load_weights(ConvNet(), {**ConvNet().state_dict(), "net.loss": torch.zeros(1)}, "w.pt")
    with pytest.raises(NotAnalysedError, match=r"first `net\."):
        load_weights(ConvNet(), {**tensors, "net.loss": torch.zeros(1)}, "w.pt")


@pytest.mark.parametrize(
    ("lost", "rule"),
    [(("running_mean", "running_var"), "BN104"), (("running_var",), "BN512"), (("running_mean",), "BN512")],
)
def test_a_file_that_has_lost_its_statistics_is_told_apart_from_another_model(lost: tuple[str, ...], rule: str) -> None:
    tensors = {key: value for key, value in ConvNet().state_dict().items() if not key.endswith(lost)}
    with pytest.raises(NotAnalysedError) as caught:
        load_weights(ConvNet(), tensors, "w.pt")
    assert rule in caught.value.hint
    assert all(f"`{kind}`" in caught.value.hint for kind in lost)
    assert "--kwargs" not in caught.value.hint
    del tensors["conv2.weight"]
    with pytest.raises(NotAnalysedError) as caught:
        load_weights(ConvNet(), tensors, "w.pt")
    assert "--kwargs" in caught.value.hint


def test_a_lost_buffer_of_another_kind_is_named() -> None:
    model = ConvNet()
    model.register_buffer("scale", torch.ones(1))
    with pytest.raises(NotAnalysedError) as caught:
        load_weights(model, ConvNet().state_dict(), "w.pt")
    assert "lost buffers of the model (`scale`)" in caught.value.hint
