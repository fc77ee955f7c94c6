"""Folders of `torch.distributed.checkpoint`, against the tensors that went in."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import torch.distributed.checkpoint as dcp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributed.checkpoint import metadata as form
from torch.distributed.checkpoint.filesystem import _StorageInfo

from bnlint.artifacts.checkpoint_directory import read_checkpoint_directory
from bnlint.artifacts.inert.directory import read_directory
from bnlint.errors import NotAnalysedError
from tests.artifacts.judge import judge
from tests.models import with_plausible_statistics


def network() -> nn.Module:
    return with_plausible_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.LayerNorm(4)))


def saved(value: dict[str, Any], folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the process group that there is none of
        dcp.save(value, checkpoint_id=folder, no_dist=True)
    return folder


def test_weights_of_normalisation_layers_are_read(tmp_path: Path) -> None:
    weights = network().state_dict()
    found = read_checkpoint_directory(saved(dict(weights), tmp_path / "step"), "step")
    assert sorted(found.tensors) == sorted(weights)
    for name, tensor in weights.items():
        assert (found.tensors[name].shape, found.tensors[name].dtype) == (tuple(tensor.shape), str(tensor.dtype)[6:])
        if not name.startswith("0."):
            assert numpy.array_equal(found.tensors[name].values(), tensor.numpy())
            assert torch.equal(found.tensors[name].as_torch(), tensor)


def test_other_tensors_are_described_alone(tmp_path: Path) -> None:
    found = read_checkpoint_directory(saved(dict(network().state_dict()), tmp_path / "step"), "step")
    for name in ("0.weight", "0.bias"):
        with pytest.raises(NotAnalysedError, match="only normalisation layers are read"):
            found.tensors[name].values()


def test_the_set_of_weights_is_chosen_by_key(tmp_path: Path) -> None:
    model = network()
    folder = saved({"model": model.state_dict(), "teacher": model.double().state_dict(), "step": 3}, tmp_path / "step")
    usual = read_checkpoint_directory(folder, "step")
    assert usual.notes == ("The entry `model` of the checkpoint was read; `--key` chooses another: `teacher`.",)
    assert usual.tensors["1.running_var"].dtype == "float32"
    assert read_checkpoint_directory(folder, "step", "teacher").tensors["1.running_var"].dtype == "float64"


def test_wrappers_are_taken_off(tmp_path: Path) -> None:
    weights = {f"_fsdp_wrapped_module.{name}": tensor for name, tensor in network().state_dict().items()}
    found = read_checkpoint_directory(saved({"model": weights}, tmp_path / "step"), "step")
    assert "1.running_mean" in found.tensors


def chunk(values: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.save(values, buffer)
    return buffer.getvalue()


def sharded(folder: Path, values: torch.Tensor, cuts: list[int], **changes: Any) -> Path:
    """A folder as several processes write it: a part of the tensor in a file of each."""
    folder.mkdir()
    bounds = [0, *cuts, len(values)]
    chunks, storage = [], {}
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        data = chunk(values[start:end].clone())
        (folder / f"__{number}_0.distcp").write_bytes(b"before" + data + b"after")
        chunks.append(form.ChunkStorageMetadata(torch.Size([start]), torch.Size([end - start])))
        index = form.MetadataIndex("bn.running_mean", torch.Size([start]), number)
        storage[index] = _StorageInfo(f"__{number}_0.distcp", 6, len(data))
    properties = form.TensorProperties(dtype=values.dtype)
    tensor = form.TensorStorageMetadata(properties, values.shape, chunks)
    listed = form.Metadata({"bn.running_mean": tensor}, storage_data=storage)
    for name, value in changes.items():
        for info in storage.values():
            setattr(info, name, value)
    (folder / ".metadata").write_bytes(pickle.dumps(listed))
    return folder


@pytest.mark.parametrize("cuts", [[], [3], [1, 2, 9]])
def test_chunks_are_put_together(cuts: list[int], tmp_path: Path) -> None:
    values = torch.randn(10)
    tensor = read_checkpoint_directory(sharded(tmp_path / "step", values, cuts), "step").tensors["bn.running_mean"]
    assert numpy.array_equal(tensor.values(), values.numpy())
    assert torch.equal(tensor.as_torch(), values)


@pytest.mark.parametrize("file", ["../../etc/passwd", "/etc/passwd", "..\\secret", "C:\\secret", "a/../../b", ""])
def test_files_outside_the_folder_are_refused(file: str, tmp_path: Path) -> None:
    folder = sharded(tmp_path / "step", torch.ones(4), [], relative_path=file)
    with pytest.raises(NotAnalysedError, match="not a file of the folder"):
        read_checkpoint_directory(folder, "step")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"relative_path": "__7_0.distcp"}, "`__7_0.distcp` is missing"),
        ({"offset": 10**9}, "damaged"),
        ({"offset": -5}, "damaged"),
        ({"length": 10**18}, "damaged"),
        ({"length": 0}, "damaged"),
        ({"offset": "6"}, "does not say where"),
        ({"transform_descriptors": ["zstd"]}, "compressed"),
    ],
)
def test_lists_that_do_not_fit_are_one_sentence(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    folder = sharded(tmp_path / "step", torch.ones(4), [], **changes)
    with pytest.raises(NotAnalysedError, match=says):
        read_checkpoint_directory(folder, "step")


def test_a_missing_chunk_is_named(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "step", torch.ones(4), [2])
    listed = pickle.loads((folder / ".metadata").read_bytes())
    listed.storage_data.popitem()
    (folder / ".metadata").write_bytes(pickle.dumps(listed))
    with pytest.raises(NotAnalysedError, match=r"a chunk of `bn\.running_mean` is missing"):
        read_checkpoint_directory(folder, "step")


class Calls:
    def __init__(self, canary: Path) -> None:
        self.command = f"touch {canary}"

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_nothing_in_the_list_or_in_a_chunk_is_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    in_list = sharded(tmp_path / "list", torch.ones(4), [])
    listed = pickle.loads((in_list / ".metadata").read_bytes())
    listed.planner_data = Calls(canary)
    (in_list / ".metadata").write_bytes(pickle.dumps(listed))
    in_chunk = sharded(tmp_path / "chunk", torch.ones(4), [], offset=0)
    buffer = io.BytesIO()
    torch.save(Calls(canary), buffer)
    (in_chunk / "__0_0.distcp").write_bytes(buffer.getvalue())
    sound = sharded(tmp_path / "sound", torch.ones(4), [2])
    answers = judge([("directory", in_list), ("directory", in_chunk), ("directory", sound)])
    assert "posix.system" in answers[0] or "nt.system" in answers[0]
    assert answers[1].startswith("refused: ")
    assert answers[2].startswith("read: ")
    assert not canary.exists()


@pytest.mark.parametrize("file", [".metadata", "__0_0.distcp"])
def test_a_file_that_was_cut_at_every_percent_of_its_length(file: str, tmp_path: Path) -> None:
    data = (sharded(tmp_path / "sound", torch.ones(4), []) / file).read_bytes()
    cases = []
    for percent in range(100):
        folder = tmp_path / str(percent)
        shutil.copytree(tmp_path / "sound", folder)
        (folder / file).write_bytes(data[: len(data) * percent // 100])
        cases.append(("directory", folder))
    assert {answer.partition(":")[0] for answer in judge(cases)} == {"refused"}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharded(tmp_path_factory.mktemp("dcp") / "step", torch.ones(10), [4])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_flipped_bits_in_the_list_are_read_or_refused(sound: Path, data: st.DataObject) -> None:
    kept = (sound / ".metadata").read_bytes()
    changed = bytearray(kept)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (sound / ".metadata").write_bytes(changed)
    files: set[str] = set()
    with contextlib.suppress(ValueError):
        files = {piece.file for pieces in read_directory(sound).pieces.values() for piece in pieces}
    (sound / ".metadata").write_bytes(kept)
    assert files <= {"__0_0.distcp", "__1_0.distcp"}
