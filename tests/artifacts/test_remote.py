"""Remote safetensors files: the same weights, and few of the bytes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from safetensors.torch import save
from torch import nn

import bnlint
from bnlint.artifacts.remote import read_remote
from bnlint.artifacts.remote_store import BLOCK, find_remote
from bnlint.artifacts.targets import Target, find_targets, is_no_model, is_one_target
from bnlint.errors import NotAnalysedError, UsageError
from tests.models import with_plausible_statistics


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    """The file system `memory://`, empty before and after."""
    found: MemoryFileSystem = fsspec.filesystem("memory")
    found.rm("/", recursive=True) if found.ls("/") else None
    yield found
    for name in found.find("/"):
        found.rm_file(name)


def model() -> nn.Module:
    """Twelve megabytes, with normalisation layers at both ends of what is sorted by name."""
    layers = nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 512, 3), nn.Linear(6000, 500), nn.BatchNorm1d(500))
    return with_plausible_statistics(layers)


def test_a_remote_file_has_the_report_of_a_local_one(store: MemoryFileSystem, tmp_path: Path) -> None:
    data = save(model().bfloat16().state_dict())
    store.pipe("/bucket/net.safetensors", data)
    (tmp_path / "net.safetensors").write_bytes(data)
    remote = bnlint.check("memory://bucket/net.safetensors", select="BN5")
    local = bnlint.check(tmp_path / "net.safetensors", select="BN5")
    assert said(remote) == said(local)
    assert remote.coverage.layers == 2


def said(report: bnlint.Report) -> tuple[Any, ...]:
    """What a report says, without the name of the file, which remedies repeat."""
    not_run = [(item.code, item.layers, item.missing) for item in report.not_run]
    return report.findings, report.passed, not_run, report.coverage


def shards(weights: dict[str, torch.Tensor]) -> dict[str, bytes]:
    """An index and two shards, with the statistics of each layer in both."""
    names = sorted(weights, key=lambda name: (name.endswith("var"), name))
    files = {"net-00001-of-00002.safetensors": names[: len(names) // 2], "net-00002-of-00002.safetensors": names}
    files["net-00002-of-00002.safetensors"] = names[len(names) // 2 :]
    index = {"metadata": {}, "weight_map": {name: file for file, inner in files.items() for name in inner}}
    written = {file: save({name: weights[name].contiguous() for name in inner}) for file, inner in files.items()}
    return written | {"net.safetensors.index.json": json.dumps(index).encode()}


def test_a_remote_index_is_one_model(store: MemoryFileSystem, tmp_path: Path) -> None:
    weights = model().state_dict()
    for name, data in shards(weights).items():
        store.pipe(f"/bucket/{name}", data)
        (tmp_path / name).write_bytes(data)
    index = "net.safetensors.index.json"
    remote = bnlint.check(f"memory://bucket/{index}", select="BN5")
    assert said(remote) == said(bnlint.check(tmp_path / index, select="BN5"))
    assert remote.coverage.layers == 2
    found = read_remote(f"memory://bucket/{index}").tensors
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        name: tensor.shape for name, tensor in found.items()
    }
    for pattern in ("memory://bucket/", "memory://bucket/*", "memory://bucket/*.safetensors"):
        (target,) = find_targets([pattern])
        assert target.name.endswith(f"bucket/{index}")
        assert not is_no_model(target)


def test_a_remote_index_that_lies_is_a_sentence(store: MemoryFileSystem) -> None:
    index = "memory://bucket/net.safetensors.index.json"
    cases = {
        "lists `gone.safetensors`, which is missing": {"a": "gone.safetensors"},
        "has no tensor `b`, which .* says is in it": {"b": "a.safetensors"},
        "`../a.safetensors`, which is not a file of its folder": {"a": "../a.safetensors"},
        "is a file of torch.save, and of remote files only safetensors are read": {"a": "a.bin"},
        "not a sound index of weights": {"a": 1},
    }
    store.pipe("/bucket/a.safetensors", save({"a": torch.ones(1)}))
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(1)}, buffer)
    store.pipe("/bucket/a.bin", buffer.getvalue())
    for says, places in cases.items():
        store.pipe("/bucket/net.safetensors.index.json", json.dumps({"weight_map": places}).encode())
        with pytest.raises(NotAnalysedError, match=says):
            read_remote(index)


def test_the_weights_are_those_of_the_file(store: MemoryFileSystem) -> None:
    weights = model().bfloat16().state_dict()
    store.pipe("/net.safetensors", save(weights))
    found = read_remote("memory://net.safetensors").tensors
    assert sorted(found) == sorted(weights)
    for name, tensor in weights.items():
        assert torch.equal(found[name].as_torch(), tensor), name
        if tensor.numel() <= 500:
            values = torch.from_numpy(found[name].values())
            assert torch.equal(values, tensor.to(values.dtype)), name


class Ranges(MemoryFileSystem):
    """A store that answers requests for ranges and counts the bytes, as stores on the network are."""

    protocol = "ranges"
    fetched = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.rpartition("://")[2].strip("/")

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        from fsspec.spec import AbstractBufferedFile

        outer = self

        class File(AbstractBufferedFile):
            def _fetch_range(self, start: int, end: int) -> bytes:
                data = bytes(outer.store[self.path].getbuffer()[start:end])
                Ranges.fetched += len(data)
                return data

        names = ("block_size", "cache_type", "cache_options")
        return File(self, path, mode, **{name: options[name] for name in names})


def test_only_ranges_are_fetched(store: MemoryFileSystem) -> None:
    fsspec.register_implementation("ranges", Ranges, clobber=True)
    data = save(model().state_dict())
    store.pipe("/net.safetensors", data)
    Ranges.fetched = 0
    report = bnlint.check("ranges:///net.safetensors", select="BN5")
    assert report.coverage.layers == 2
    assert 0 < Ranges.fetched <= 8 * BLOCK < len(data) / 10


def test_what_is_no_safetensors_file_is_a_sentence(store: MemoryFileSystem) -> None:
    store.pipe("/notes.txt", b"text")
    store.pipe("/cut.safetensors", save({"a": torch.ones(3)})[:30])
    buffer = io.BytesIO()
    torch.save(model(), buffer)
    store.pipe("/whole.pt", buffer.getvalue())
    for name, says in (
        ("memory://notes.txt", r"`memory://notes\.txt` is text, not a model\. "),
        ("memory://cut.safetensors", "cut short"),
        (
            "memory://whole.pt",
            r"is a file of torch\.save, and of remote files only safetensors are read\. Download it first\.",
        ),
    ):
        with pytest.raises(NotAnalysedError, match=says):
            read_remote(name)
    with pytest.raises(UsageError, match=r"There is no file `memory://nowhere\.safetensors`"):
        read_remote("memory://nowhere.safetensors")
    with pytest.raises(UsageError, match=r"there is no store `memori://`\. Did you mean `memory://`\?"):
        read_remote("memori://a/b")
    with pytest.raises(UsageError, match="`--key` does not apply"):
        read_remote("memory://notes.txt", key="ema")


def test_patterns_and_folders(store: MemoryFileSystem) -> None:
    for name in ("/runs/a.safetensors", "/runs/deep/b.safetensors", "/runs/notes.md"):
        store.pipe(name, b"text")
    pattern = find_remote("memory://runs/**/*.safetensors")
    assert [name.rpartition("/")[2] for name in pattern] == ["a.safetensors", "b.safetensors"]
    targets = find_targets(["memory://runs/"])
    assert [target.name.rpartition("/")[2] for target in targets if not is_no_model(target)] == [
        "a.safetensors",
        "b.safetensors",
    ]
    assert len(targets) == 3
    folder = {target.name.rpartition("/")[2]: target.found for target in find_targets(["memory://runs/*"])}
    assert folder == {"a.safetensors": False, "b.safetensors": True, "notes.md": False}
    assert is_one_target(("s3://bucket/a.safetensors",))
    assert not is_one_target(("s3://bucket/*.safetensors",))
    assert not is_one_target(("s3://bucket/runs/",))
    assert find_targets(["s3://bucket/./a.pt"]) == [Target("s3://bucket/./a.pt")]
    with pytest.raises(UsageError, match="No file matches"):
        find_targets(["memory://runs/*.onnx"])


@pytest.mark.parametrize("name", ["s3://bucket/a.safetensors", "s3://bucket/*.safetensors"])
def test_a_missing_package_for_the_store_is_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UsageError) as caught:
        list(bnlint.check_files([name, "other.pt"])) if "*" in name else bnlint.check(name)
    assert "s3fs" in caught.value.cause
    assert "\n" not in caught.value.cause
    assert "bnlint[remote]" in caught.value.hint


def test_remote_and_local_files_in_one_check(tmp_path: Path) -> None:
    """Workers have no part in `memory://`, so the store is the disk."""
    good, other = tmp_path / "remote", tmp_path / "local"
    good.mkdir()
    other.mkdir()
    for name, data in shards(model().state_dict()).items():
        (good / name).write_bytes(data)
    (good / "z.safetensors").write_bytes(save(model().state_dict()))
    (good / "cut.safetensors").write_bytes(save(model().state_dict())[:1000])
    torch.save(model().state_dict(), other / "weights.pt")
    names = [f"file://{good}/*.safetensors", str(other), f"file://{good}/gone.safetensors"]
    found = {result.target.rpartition("/")[2]: result for result in bnlint.check_files(names, jobs=2, fail_on="never")}
    assert {name: result.exit_code for name, result in found.items()} == {
        "weights.pt": 0,
        "cut.safetensors": 3,
        "gone.safetensors": 2,
        "net.safetensors.index.json": 0,
        "z.safetensors": 0,
    }
