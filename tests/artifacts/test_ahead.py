"""What is begun before it is asked for: the reading of an untrusted file, and nothing for any other name."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bnlint.artifacts import ahead
from bnlint.artifacts.inert import reader
from bnlint.artifacts.read import read
from tests.models import ConvNet


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The requests that were sent to the process that reads untrusted files."""
    requests: list[bytes] = []
    send = reader.Reader._send

    def counted(self: reader.Reader, request: bytes) -> None:
        requests.append(request)
        send(self, request)

    monkeypatch.setattr(reader.Reader, "_send", counted)
    yield requests
    reader._READER.end()


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
def test_a_file_is_read_once(protocol: int, form: str, tmp_path: Path, begun: list[bytes]) -> None:
    path = tmp_path / "weights"
    if form == "plain":
        path.write_bytes(pickle.dumps(ConvNet().state_dict(), protocol))
    else:
        zipped = form == "zip"
        torch.save(ConvNet().state_dict(), path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    ahead.begin(str(path))
    assert len(begun) == 1
    assert read(str(path)).form == "state_dict"
    assert len(begun) == 1


def test_another_file_is_not_answered_with_what_was_begun(tmp_path: Path, begun: list[bytes]) -> None:
    torch.save(ConvNet().state_dict(), tmp_path / "begun.pt")
    torch.save({"other": torch.ones(3)}, tmp_path / "wanted.pt")
    ahead.begin(str(tmp_path / "begun.pt"))
    assert list(read(str(tmp_path / "wanted.pt")).weights()) == ["other"]
    assert list(read(str(tmp_path / "begun.pt")).weights()) == list(ConvNet().state_dict())
    assert len(begun) == 3


def test_what_was_begun_and_never_asked_for_ends(tmp_path: Path, begun: list[bytes]) -> None:
    torch.save(ConvNet().state_dict(), tmp_path / "begun.pt")
    ahead.begin(str(tmp_path / "begun.pt"))
    process = reader._READER._process
    assert process is not None
    reader._READER.end()
    assert process.returncode is not None


def test_nothing_begins_for_anything_else(tmp_path: Path, begun: list[bytes]) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    (tmp_path / "empty").touch()
    names = [tmp_path, tmp_path / "a.safetensors", tmp_path / "empty", tmp_path / "gone", "s3://b/a.pt", "m:f", "\0"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        names.append(tmp_path / "pipe")
    for name in names:
        ahead.begin(str(name))
    assert begun == []
