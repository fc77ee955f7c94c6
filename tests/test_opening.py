"""Only regular files are opened for reading, and only one module does it."""

from __future__ import annotations

import ast
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bnlint
from bnlint import opening
from bnlint.errors import NotAnalysedError
from bnlint.opening import (
    NotRegularError,
    is_folder,
    is_link_to_nothing,
    is_meant,
    is_regular,
    is_there,
    is_to_be_read,
    open_regular,
    read_regular,
    reason,
    refusal,
    require_regular,
    unreadable,
)

ODD_NAMES = ["nul\0byte", "x" * 100_000, "\ud800", "loop", "good/below", "deep/" * 2000]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file `good`, and a link `loop` that leads to itself."""
    monkeypatch.chdir(tmp_path)
    Path("good").write_bytes(b"content")
    Path("loop").symlink_to("loop")


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(path.name)


NOT_REGULAR: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": a_socket,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", NOT_REGULAR)
def test_what_is_no_regular_file_is_refused_without_being_opened(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    NOT_REGULAR[kind](Path("odd"))
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(NotRegularError, match=f"it is {kind}, not a regular file"):
        open_regular("odd")
    assert not is_regular("odd")
    assert is_there("odd")
    assert is_to_be_read("odd") == (kind != "a folder")
    assert unreadable("odd", NotRegularError(kind)).cause == "`odd` is not a regular file."


def test_a_pipe_that_takes_the_place_of_a_file_meanwhile_is_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no writer: to open it without `O_NONBLOCK` would wait for ever."""
    os.mkfifo("pipe")
    sound, descriptors = Path("good").stat(), len([*Path("/dev/fd").iterdir()])
    monkeypatch.setattr(os, "stat", lambda _: sound)
    with pytest.raises(NotRegularError, match="a pipe"):
        open_regular("pipe")
    assert len([*Path("/dev/fd").iterdir()]) == descriptors


def test_a_file_is_read_with_and_without_a_buffer() -> None:
    with open_regular("good") as file:
        assert (file.read(), file.tell()) == (b"content", 7)
    with open_regular(Path("good"), buffering=0) as file:
        assert file.read(3) == b"con"
        assert not os.get_inheritable(file.fileno())
    Path("empty").touch()
    assert read_regular("empty", 0) == b""


def test_a_log_of_the_kernel_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: int) -> bytes:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    Path("kmsg").touch()  # `/proc/kmsg` is called a regular file of no size, and has no end
    monkeypatch.setattr(os, "read", read)
    with pytest.raises(BlockingIOError):
        open_regular("kmsg")


def test_no_more_than_asked_for_is_read() -> None:
    assert read_regular("good", 7) == b"content"
    with pytest.raises(OSError, match="it has more than 6 bytes"):
        read_regular("good", 6)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_that_the_system_refuses_are_answered(name: str) -> None:
    assert not is_regular(name)
    assert not is_folder(name)
    assert not is_there(name)
    assert not is_to_be_read(name)
    assert is_link_to_nothing(name) == (name == "loop")
    assert bool(refusal(name))
    with pytest.raises((OSError, ValueError)) as caught:
        open_regular(name)
    assert name not in reason(caught.value)
    with pytest.raises(NotAnalysedError, match=r"^`it` cannot be read: .+\.$"):
        require_regular(name, "it")


def test_what_can_only_be_meant_as_a_file() -> None:
    assert [name for name in ("good", "absent", "good/below", "x" * 300, "nul\0byte") if is_meant(name)] == ["good"]
    assert is_meant("loop")
    assert is_meant("deep/" * 2000)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_failing_disk_is_a_sentence(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "/absolute/good")

    monkeypatch.setattr(os, "stat", fail)
    assert is_meant("good")
    with pytest.raises(NotAnalysedError) as caught:
        require_regular("good", "good")
    assert caught.value.cause.startswith("`good` ")
    assert "absolute" not in caught.value.cause


def test_a_folder_of_the_name_is_no_file() -> None:
    Path("folder").mkdir()
    assert is_folder("folder")
    assert not is_to_be_read("folder")


LOOKS_OR_OPENS = frozenset({
    "open", "read_text", "read_bytes", "fdopen", "FileIO", "ZipFile", "is_zipfile", "memmap", "fromfile", "from_file",
    "load_file", "safe_open", "getline", "getlines", "is_file", "is_dir", "exists", "resolve", "stat", "lstat",
    "isfile", "isdir", "is_fifo", "is_symlink", "samefile", "realpath", "walk", "rglob", "loadtxt",
})  # fmt: skip
"""Names of functions that look at a file, or open it, by its name."""

OWN = frozenset({"read_text", "resolve", "walk"})
"""Functions of bnlint that are called alike."""

LOADS = frozenset({"numpy.load", "torch.load", "torch.export.load", "torch.jit.load", "yaml.load", "tomllib.load"})

ELSEWHERE = {
    ("artifacts/checkpoint.py", "torch.load"): "an open file; for `--trust` by name what was just opened",
    ("artifacts/inert/fork_server.py", "fdopen"): "pipes between processes of bnlint",
    ("artifacts/inert/fork_server.py", "open"): "the null device, written to",
    ("artifacts/inert/package.py", "open"): "a member of an open archive",
    ("artifacts/inert/program.py", "open"): "a member of an open archive",
    ("artifacts/inert/script.py", "open"): "a member of an open archive",
    ("artifacts/inert/archive.py", "open"): "a member of an open archive",
    ("artifacts/known/storages.py", "memmap"): "an open file",
    ("artifacts/stored.py", "fromfile"): "an open file",
    ("artifacts/stored.py", "memmap"): "an open file",
    ("artifacts/program_file.py", "torch.export.load"): "for `--trust`: by name what was just opened",
    ("artifacts/remote_store.py", "open"): "a store of fsspec",
    ("artifacts/walking.py", "is_dir"): "an entry that was listed",
    ("artifacts/walking.py", "is_symlink"): "an entry that was listed",
    ("artifacts/zip_members.py", "ZipFile"): "an open file",
    ("batch/worker.py", "fdopen"): "pipes between processes of bnlint",
    ("batch/worker.py", "open"): "the null device",
    ("cli/fold.py", "samefile"): "two files that are there",
    ("cli/streams.py", "open"): "the null device, written to",
    ("folding/place.py", "open"): "what is written, and its folder",
    ("folding/write.py", "open"): "what is written",
    ("memory.py", "stat"): "libraries of packages that are about to be imported",
    ("tracing/numpy_files.py", "ZipFile"): "an open file",
    ("tracing/numpy_files.py", "open"): "a member of an open archive",
    ("tracing/inputs.py", "torch.load"): "an open file",
    ("tracing/source.py", "getline"): "source of code that has run",
    ("tracing/source.py", "getlines"): "source of code that has run",
    ("tracing/source.py", "resolve"): "source of code that has run",
}


def calls(tree: ast.AST) -> Iterator[str]:
    """What a module calls that may look at or open a file."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        if called in LOADS:
            yield called
        elif name in LOOKS_OR_OPENS and called not in OWN:
            yield name


def test_nothing_else_in_bnlint_looks_at_files_or_opens_them() -> None:
    root = Path(bnlint.__file__).parent
    found = {
        (file.relative_to(root).as_posix(), called)
        for file in root.rglob("*.py")
        if file != Path(opening.__file__)
        for called in calls(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert found == ELSEWHERE.keys()
