"""Remote safetensors files: the same weights, and few of the bytes."""

from __future__ import annotations

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
from bnlint.artifacts.remote import BLOCK, find_remote, read_remote
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
    assert (remote.findings, remote.passed, remote.not_run) == (local.findings, local.passed, local.not_run)
    assert remote.coverage == local.coverage
    assert remote.coverage.layers == 2


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

        return File(self, path, mode, block_size=options["block_size"], cache_type=options["cache_type"])


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
    for name, says in (
        (
            "memory://notes.txt",
            "is text, not a model, and of remote files only safetensors are read. Download it first.",
        ),
        ("memory://cut.safetensors", "cut short"),
        ("memory://nowhere.safetensors", "There is no file `memory://nowhere.safetensors`."),
    ):
        with pytest.raises(NotAnalysedError, match=says):
            read_remote(name)
    with pytest.raises(NotAnalysedError, match="nosuchstore"):
        read_remote("nosuchstore://a/b")
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
    assert is_one_target(("s3://bucket/a.safetensors",))
    assert not is_one_target(("s3://bucket/*.safetensors",))
    assert not is_one_target(("s3://bucket/runs/",))
    assert find_targets(["s3://bucket/./a.pt"]) == [Target("s3://bucket/./a.pt")]
    with pytest.raises(UsageError, match="No file matches"):
        find_targets(["memory://runs/*.onnx"])
