"""Files that want to run something, or to use up the machine: none gets its way."""

from __future__ import annotations

import functools
import io
import pickle
import pickletools
import random
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from bnlint.artifacts.inert import sandbox
from bnlint.artifacts.inert.child import Request
from bnlint.artifacts.inert.contents import contents
from bnlint.artifacts.inert.legacy import open_plain
from bnlint.artifacts.inert.machine import _CONSTANTS, _HANDLERS, _IGNORED, _LITERALS, BadPickleError, read_pickle
from bnlint.artifacts.inert.sandbox import read_inert
from bnlint.artifacts.inert.values import Stub
from bnlint.artifacts.sniff import Kind
from bnlint.errors import NotAnalysedError
from tests.artifacts.inert.hostile import HOSTILE, commands, raw, rebuilt, rezipped, saved, shared_attributes
from tests.artifacts.judge import judge
from tests.cli.hostile_contents import legacy
from tests.cli.hostile_files import sound_files


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_that_call_something_are_read_and_call_nothing(protocol: int, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    cases: list[tuple[str, Path]] = []
    for number, value in enumerate(commands(canary).values()):
        plain, zipped, old = (tmp_path / f"{number}.{suffix}" for suffix in ("pkl", "pt", "old"))
        old.write_bytes(legacy(pickle.dumps(value, protocol)))
        plain.write_bytes(pickle.dumps(value, protocol))
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(value, protocol))
        cases += [("plain", plain), ("zip", zipped), ("legacy", old)]
    answers = judge(cases)
    assert all(answer.startswith("read: ") for answer in answers)
    assert "posix.system" in answers[0] or "nt.system" in answers[0]
    assert not canary.exists()


@pytest.fixture(scope="module")
def hostile_answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("hostile")
    cases = []
    for number, content in enumerate(HOSTILE.values()):
        path = folder / f"{number}.pkl"
        path.write_bytes(content)
        cases.append(("plain", path))
    return dict(zip(HOSTILE, judge(cases), strict=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_read_or_refused_and_nothing_else(name: str, hostile_answers: dict[str, str]) -> None:
    assert hostile_answers[name].startswith(("read: ", "refused: "))


def test_what_cannot_be_a_pickle_is_refused(hostile_answers: dict[str, str]) -> None:
    for name in ("bytes of 10 GB that are not there", "a value from an empty stack", "no end", "tuple of nothing"):
        assert hostile_answers[name].startswith("refused: "), name


def test_a_shadowed_method_is_only_an_entry() -> None:
    value = read_pickle(io.BytesIO(HOSTILE["OrderedDict.items shadowed"])).value
    assert isinstance(value, Stub)
    assert value.states


def test_archives_that_lie(tmp_path: Path) -> None:
    good = saved(OrderedDict(weight=torch.randn(8)))
    keep = lambda name, data: (name, data)  # noqa: E731
    buffer = io.BytesIO(good)
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    cases = {
        "compressed, as in a zip bomb": rezipped(good, keep, zipfile.ZIP_DEFLATED),
        "two members of one name": buffer.getvalue(),
        "no pickle": rezipped(good, lambda name, data: (name.replace("data.pkl", "other.pkl"), data)),
    }
    paths = [tmp_path / f"{number}.pt" for number in range(len(cases))]
    for path, content in zip(paths, cases.values(), strict=True):
        path.write_bytes(content)
    assert all(answer.startswith("refused: ") for answer in judge([("zip", path) for path in paths]))


def test_names_that_leave_the_folder_are_never_written(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(rezipped(saved({"a": torch.ones(1)}), lambda name, data: (f"archive/../../{name}", data)))
    (answer,) = judge([("zip", path)])
    assert answer.startswith("refused: ")
    assert [item.name for item in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ((0, (8,), (1,)), "read: "),
        ((0, (2, 4), (4, 1)), "read: "),
        ((1, (8,), (1,)), "outside: "),
        ((0, (9,), (1,), 9), "outside: "),
        ((0, (8,), (2**40,)), "outside: "),
        ((2**60, (1,), (1,)), "outside: "),
        ((0, (2**40,), (0,)), "outside: "),
        ((0, (8,), (-1,)), "read: "),  # no such tensor exists, so there is no tensor
        ((-4, (8,), (1,)), "read: "),
    ],
)
def test_a_tensor_outside_its_storage_is_told(numbers: tuple[Any, ...], verdict: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(rebuilt(*numbers))
    (answer,) = judge([("zip", path)])
    assert answer.startswith(verdict)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return sound_files(tmp_path_factory.mktemp("sound"))


FORMS = {
    "zip": "zip", "whole model": "zip", "legacy": "legacy", "plain": "plain", "package": "package",
    "script": "torchscript", "onnx": "onnx", "safetensors": "safetensors", "index": "index", "program": "program",
}  # fmt: skip
"""Those of `sound_files`, and what `judge` calls them."""


@pytest.mark.parametrize("form", FORMS)
def test_cut_at_every_percent_of_its_length(form: str, sound: dict[str, bytes], tmp_path: Path) -> None:
    assert FORMS.keys() == sound.keys()
    cases = []
    for percent in range(100):
        path = tmp_path / f"{percent}.pt"
        path.write_bytes(sound[form][: len(sound[form]) * percent // 100])
        cases.append((FORMS[form], path))
    answers = judge(cases)
    verdicts = {answer.partition(":")[0] for answer in answers}
    assert verdicts == {"refused"} or (form == "onnx" and verdicts == {"refused", "read"})  # between two of its fields


@pytest.mark.parametrize("form", FORMS)
def test_bits_that_are_flipped_run_nothing(form: str, sound: dict[str, bytes], tmp_path: Path) -> None:
    chance, cases = random.Random(0), []
    for number in range(60):
        changed = bytearray(sound[form])
        for _ in range(chance.randint(1, 8)):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{number}.pt"
        path.write_bytes(changed)
        cases.append((FORMS[form], path))
    assert {answer.partition(":")[0] for answer in judge(cases)} <= {"read", "refused", "outside"}


def test_attributes_that_thousands_of_modules_share(tmp_path: Path) -> None:
    """A hundred million values in 165 kB: without a limit they take a minute."""
    path = tmp_path / "model.pkl"
    path.write_bytes(shared_attributes())
    with pytest.raises(ValueError, match="it describes more than any model needs"):
        contents(open_plain(path))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_flipped_bits_are_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(GOOD_PICKLE)
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read_pickle(io.BytesIO(bytes(content)))
    except BadPickleError:
        return


def _good_pickle() -> bytes:
    with zipfile.ZipFile(io.BytesIO(saved(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))))) as archive:
        return archive.read("archive/data.pkl")


GOOD_PICKLE = _good_pickle()


def test_a_hostile_file_ends_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x80\x02" + b"]" * 100)
    with pytest.raises(NotAnalysedError, match=r"^`model\.pt` is cut short or damaged: ") as caught:
        read_inert(path, "model.pt", Kind.PICKLE)
    assert "\n" not in caught.value.cause


def test_memory_of_the_child_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that builds sets without end stops at the limit of the child, not at that of the machine."""
    monkeypatch.setattr(sandbox, "Request", functools.partial(Request, memory=1 << 27))
    path = tmp_path / "model.pt"
    path.write_bytes(raw(b"\x80\x04", b"\x8f" * 500_000, b"."))
    with pytest.raises(NotAnalysedError, match="it takes more memory than any model needs"):
        read_inert(path, "model.pt", Kind.PICKLE)


def test_one_long_text_in_many_places_does_not_fill_the_memory_of_who_asks(tmp_path: Path) -> None:
    """The answer would hold it once for each place."""
    path = tmp_path / "model.pt"
    put, get = b"X" + struct.pack("<I", 1 << 24) + b"k" * (1 << 24) + b"q\x01", b"h\x01"
    head = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    tail = b"X\x03\x00\x00\x00cpuK\x01tQK\x00))\x89}tR"
    entries = (b"X\x01\x00\x00\x00" + bytes([97 + n]) + head + (get if n else put) + tail for n in range(16))
    path.write_bytes(b"\x80\x02}(" + b"".join(entries) + b"u.")
    with pytest.raises(NotAnalysedError, match="it describes more than any model needs"):
        read_inert(path, "model.pt", Kind.PICKLE)


def test_the_opcodes_of_every_protocol_are_known() -> None:
    known = {*_CONSTANTS, *_HANDLERS, *_IGNORED, *_LITERALS, "STOP"}
    assert {opcode.name for opcode in pickletools.opcodes} == known
