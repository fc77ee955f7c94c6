"""Files that want to run something, or to use up the machine: none gets its way."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from bnlint.artifacts.inert import sandbox
from bnlint.artifacts.inert.machine import _CONSTANTS, _HANDLERS, _IGNORED, _LITERALS, BadPickleError, read_pickle
from bnlint.artifacts.inert.sandbox import read_inert
from bnlint.artifacts.inert.values import Stub
from bnlint.artifacts.sniff import Kind
from bnlint.errors import NotAnalysedError

ROOT = Path(__file__).parents[3]


def judge(cases: list[tuple[str, Path]]) -> list[str]:
    """What the reader says of files, in a process where importing, running and writing are forbidden."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("judge.py"))],
        input=json.dumps([(form, str(path)) for form, path in cases]),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def commands(canary: Path) -> dict[str, Any]:
    write = f"open({str(canary)!r}, 'w')"
    return {
        "os.system": Calls(os.system, f"touch {canary}"),
        "eval": Calls(eval, write),
        "exec": Calls(exec, write),
        "importlib": Calls(__import__("importlib").import_module, "antigravity"),
        "torch.load": Calls(torch.load, str(canary)),
        "open": Calls(open, str(canary), "w"),
        "subprocess": Calls(subprocess.check_call, ["touch", str(canary)]),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "nested": Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {canary}"))),
        "dict with a call as key and value": {"weights": [{"deep": (Calls(os.system, f"touch {canary}"),)}]},
    }


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_that_call_something_are_read_and_call_nothing(protocol: int, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    cases: list[tuple[str, Path]] = []
    for number, value in enumerate(commands(canary).values()):
        plain, zipped = tmp_path / f"{number}.pkl", tmp_path / f"{number}.pt"
        plain.write_bytes(pickle.dumps(value, protocol))
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(value, protocol))
        cases += [("plain", plain), ("zip", zipped)]
    answers = judge(cases)
    assert all(answer.startswith("read: ") for answer in answers)
    assert "posix.system" in answers[0] or "nt.system" in answers[0]
    assert not canary.exists()


def raw(*parts: bytes) -> bytes:
    return b"".join(parts)


HOSTILE = {
    "memo index of 2^32": raw(b"N", b"r", struct.pack("<I", 2**32 - 1), b"."),
    "bytes of 10 GB that are not there": raw(b"\x8e", struct.pack("<Q", 10**10), b"."),
    "text of 2^63 bytes": raw(b"\x8d", struct.pack("<Q", 2**63), b"."),
    "bytearray(10**10)": raw(b"cbuiltins\nbytearray\n", b"\x8a\x05", (10**10).to_bytes(5, "little"), b"\x85R."),
    "a name with dots": raw(b"\x80\x04\x8c\x02os\x8c\x0bpath.system\x93)R."),
    "a name that is no text": raw(b"\x80\x04K\x01K\x02\x93."),
    "an attribute set on a function": raw(b"ctorch._utils\n_rebuild_tensor_v2\n", b"}X\x04\x00\x00\x00evilK\x01sb."),
    "OrderedDict.items shadowed": raw(b"ccollections\nOrderedDict\n)R", b"}X\x05\x00\x00\x00itemscos\nsystem\nsb."),
    "codecs": raw(b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x74R."),
    "a value from an empty stack": b"0.",
    "no end": b"(((((",
    "tuple of nothing": b"\x87.",
    "dict without a value": raw(b"(K\x01d."),
    "nested a million deep": raw(b"]" * 1_000_000, b"a" * 999_999, b"."),
    "tuples a million deep as a key": raw(b"}", b")" + b"\x85" * 1_000_000, b"K\x01s."),
    "doubled sixty times": raw(b"]", b"2\x86" * 60, b"."),
    "a number of a million digits": raw(b"L", b"9" * 1_000_000, b"L\n."),
    "extension code": b"\x82\x01.",
    "a buffer outside the file": b"\x97.",
    "persistent id of nonsense": raw(b"K\x01Q."),
    "get of what was never put": b"h\x07.",
}


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


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def rezipped(
    content: bytes, change: Callable[[str, bytes], tuple[str, bytes]], method: int = zipfile.ZIP_STORED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for name in old.namelist():
            new.writestr(*change(name, old.read(name)))
    return buffer.getvalue()


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


def rebuilt(offset: int, size: tuple[int, ...], stride: tuple[int, ...], elements: int = 8) -> bytes:
    """A state_dict whose one tensor is described with these numbers."""
    good = saved(OrderedDict(weight=torch.randn(8)))

    def change(name: str, data: bytes) -> tuple[str, bytes]:
        if not name.endswith("data.pkl"):
            return name, data
        out = io.BytesIO()
        pickler = pickle._Pickler(out, 2)  # type: ignore[attr-defined]
        pickler.persistent_id = lambda item: item.key if isinstance(item, StorageKey) else None
        arguments = (StorageKey(elements), offset, size, stride, False, OrderedDict())
        pickler.dump({"weight": Calls(torch._utils._rebuild_tensor_v2, *arguments)})
        return name, out.getvalue()

    return rezipped(good, change)


class StorageKey:
    def __init__(self, elements: int) -> None:
        self.key = ("storage", torch.FloatStorage, "0", "cpu", elements)


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


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_cut_at_every_percent_of_its_length(form: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(nn.Sequential(nn.BatchNorm2d(64)), buffer, _use_new_zipfile_serialization=form == "zip")
    content = buffer.getvalue()
    cases = []
    for percent in range(100):
        path = tmp_path / f"{percent}.pt"
        path.write_bytes(content[: len(content) * percent // 100])
        cases.append((form, path))
    answers = judge(cases)
    assert {answer.partition(":")[0] for answer in answers} == {"refused"}


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
    smaller = "from bnlint.artifacts.inert import child; child.MEMORY = 1 << 27; from bnlint"
    monkeypatch.setattr(sandbox, "_PROGRAM", sandbox._PROGRAM.replace("from bnlint", smaller))
    path = tmp_path / "model.pt"
    path.write_bytes(raw(b"\x80\x04", b"\x8f" * 500_000, b"."))
    with pytest.raises(NotAnalysedError, match="it takes more memory than any model needs"):
        read_inert(path, "model.pt", Kind.PICKLE)


def test_the_opcodes_of_every_protocol_are_known() -> None:
    known = {*_CONSTANTS, *_HANDLERS, *_IGNORED, *_LITERALS, "STOP"}
    assert {opcode.name for opcode in pickletools.opcodes} == known
