"""Weights in several files with an index, and folders as the Hugging Face libraries write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bnlint.artifacts.json_size import MOST_COLONS
from bnlint.artifacts.saved import Saved
from bnlint.artifacts.shards import read_folder, read_index
from bnlint.artifacts.sniff import is_index
from bnlint.artifacts.weight_folders import is_shard
from bnlint.errors import NotAnalysedError, UsageError
from tests.models import with_plausible_statistics


def weights() -> dict[str, Tensor]:
    model = with_plausible_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.LayerNorm(4)))
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def write(tensors: Mapping[str, Tensor], path: Path) -> None:
    if path.suffix == ".safetensors":
        save_file(dict(tensors), path)
    else:
        torch.save(dict(tensors), path)


def write_shards(folder: Path, stem: str, suffix: str, tensors: Mapping[str, Tensor]) -> Path:
    """As `save_pretrained` writes them: every tensor in turn into one of three files."""
    names = [f"{stem}-{number:05}-of-00003.{suffix}" for number in (1, 2, 3)]
    places = {tensor: names[number % 3] for number, tensor in enumerate(tensors)}
    for file in names:
        write({tensor: tensors[tensor] for tensor in places if places[tensor] == file}, folder / file)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


def assert_holds(found: Saved, expected: Mapping[str, Tensor]) -> None:
    assert sorted(found.tensors) == sorted(expected)
    for name, tensor in expected.items():
        assert numpy.array_equal(found.tensors[name].values(), tensor.numpy())


@pytest.mark.parametrize(("stem", "suffix"), [("model", "safetensors"), ("pytorch_model", "bin")])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_shards_are_one_set_of_weights(stem: str, suffix: str, prefix: str, tmp_path: Path) -> None:
    expected = weights()
    index = write_shards(tmp_path, stem, suffix, {prefix + name: tensor for name, tensor in expected.items()})
    assert is_index(index.read_bytes()[:4096])
    found = read_index(index, index.name)
    assert_holds(found, expected)
    assert found.form == ("safetensors" if suffix == "safetensors" else "state_dict")


def test_versions_of_all_shards_are_kept(tmp_path: Path) -> None:
    model = nn.ModuleDict({"a": nn.BatchNorm2d(4), "b": nn.BatchNorm2d(4)})
    for name in "ab":
        part = nn.ModuleDict({name: model[name]}).state_dict()
        torch.save(part, tmp_path / f"{name}.bin")
    places = {name: f"{name[0]}.bin" for name in model.state_dict()}
    (tmp_path / "w.index.json").write_text(json.dumps({"weight_map": places}))
    versions = read_index(tmp_path / "w.index.json", "w.index.json").versions
    assert (versions["a"], versions["b"]) == (2, 2)


@pytest.mark.parametrize(
    "file", ["../../etc/passwd", "/etc/passwd", "..\\x", "C:\\x", "\\\\host\\share", "a/../b", "", "x\0y", ".."]
)
def test_an_index_stays_in_its_folder(file: str, tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"weight": file}}))
    with pytest.raises(NotAnalysedError, match="not a file of its folder"):
        read_index(index, index.name)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    index = write_shards(tmp_path, "model", "safetensors", weights())
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(NotAnalysedError, match=r"lists `model-00002-of-00003\.safetensors`, which is missing"):
        read_index(index, index.name)


def test_a_tensor_that_a_shard_lacks_is_named(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors")
    (tmp_path / "i.json").write_text(json.dumps({"weight_map": {"a": "x.safetensors", "b": "x.safetensors"}}))
    with pytest.raises(NotAnalysedError, match=r"`x\.safetensors` has no tensor `b`"):
        read_index(tmp_path / "i.json", "i.json")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "{}", "[" * 10**5, '{"weight_map": null}']
)
def test_a_damaged_index_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text(text)
    with pytest.raises(NotAnalysedError, match="not a sound index"):
        read_index(tmp_path / "i.json", "i.json")


def test_a_shard_that_is_no_model_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "i.json").write_text(json.dumps({"weight_map": {"a": "x.safetensors"}}))
    with pytest.raises(NotAnalysedError, match="Git LFS pointer"):
        read_index(tmp_path / "i.json", "i.json")


@pytest.mark.parametrize(
    "content", [b'{"weight_map": {}}', b"\x08\x0a\x12\x07pytorch\x3a\x00", b"PK\x05\x06" + bytes(18)], ids=repr
)
@pytest.mark.parametrize("usual", ["model.safetensors", "pytorch_model.bin"])
def test_what_holds_no_weights_by_itself_is_named(usual: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / usual).write_bytes(content)
    (tmp_path / "i.json").write_text(json.dumps({"weight_map": {"a": usual}}))
    for read in (lambda: read_folder(tmp_path, "llm"), lambda: read_index(tmp_path / "i.json", "i.json")):
        with pytest.raises(NotAnalysedError, match=rf"`(llm/)?{usual}` is "):
            read()


def test_an_index_that_lists_itself(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text(json.dumps({"weight_map": {"a": "i.json"}}))
    with pytest.raises(NotAnalysedError, match="is an index of shards, not weights"):
        read_index(tmp_path / "i.json", "i.json")


def test_an_index_of_more_parts_than_any_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text('{"metadata": [' + "{},:" * (MOST_COLONS + 1))
    with pytest.raises(NotAnalysedError, match="more parts than that of any model"):
        read_index(tmp_path / "i.json", "i.json")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model-00001-of-00002.safetensors", True),
        ("folder/pytorch_model-1-of-2.bin", True),
        ("s3://bucket/model.fp16-00001-of-00002.safetensors", True),
        ("model-00001-of-00002.fp16.safetensors", True),
        ("model.safetensors", False),
        ("model-1-of-2.bin/model.bin", False),
        ("best-of-3.pt", False),
    ],
)
def test_names_of_shards(name: str, expected: bool) -> None:
    assert is_shard(name) is expected


def test_keys_do_not_apply_to_an_index(tmp_path: Path) -> None:
    index = write_shards(tmp_path, "model", "safetensors", weights())
    with pytest.raises(UsageError, match="--key"):
        read_index(index, index.name, "ema")


PREFERRED = [
    "model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
]


@pytest.mark.parametrize("number", range(4))
def test_a_folder_is_read_by_its_usual_names_safetensors_first(number: int, tmp_path: Path) -> None:
    expected = weights()
    for usual in PREFERRED[number:]:
        marked = {**expected, "2.bias": torch.full((4,), float(PREFERRED.index(usual)))}
        write(marked, tmp_path / usual)
    found = read_folder(tmp_path, "llm")
    assert found.tensors["2.bias"].values()[0] == number
    assert found.notes[0] == f"`{PREFERRED[number]}` of the folder was read."


def test_shards_come_before_a_single_file(tmp_path: Path) -> None:
    expected = weights()
    write({"old": torch.ones(1)}, tmp_path / "model.safetensors")
    write_shards(tmp_path, "model", "safetensors", expected)
    assert_holds(read_folder(tmp_path, "llm"), expected)


def test_a_folder_without_weights_names_those_in_it(tmp_path: Path) -> None:
    with pytest.raises(NotAnalysedError, match="Name the file in it"):
        read_folder(tmp_path, "pipeline")
    for inner in ("vae", "unet"):
        (tmp_path / inner).mkdir()
        write(weights(), tmp_path / inner / "diffusion_pytorch_model.safetensors")
    with pytest.raises(NotAnalysedError, match="`unet`, `vae`"):
        read_folder(tmp_path, "pipeline")


@pytest.mark.parametrize("text", [b'{"a": 1}', b"PK", b"", b'["weight_map"]'])
def test_other_files_are_no_index(text: bytes) -> None:
    assert not is_index(text)
