"""A child for each file, from one process: one that fails costs one file, and none outlives its parent."""

from __future__ import annotations

import functools
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
import torch

from bnlint.artifacts.inert import reader, sandbox
from bnlint.artifacts.inert.child import Request
from bnlint.artifacts.inert.frames import Sink, write_frame
from bnlint.artifacts.inert.sandbox import read_inert
from bnlint.artifacts.sniff import Kind
from bnlint.errors import NotAnalysedError
from tests.processes import gone

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    torch.save({"bn.running_mean": torch.zeros(3)}, path)
    return path


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    """A file that takes minutes to read: its pickle puts nothing on the stack and takes it off again."""
    path = tmp_path / "slow.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x04" + b"N0" * 25_000_000 + b"N.")
    return path


def children(process: int) -> list[int]:
    """The children of a process, with those that have ended and were not waited for."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def command_line(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text()


def servers() -> list[int]:
    return [child for child in children(os.getpid()) if "fork_server" in command_line(child)]


def idle(server: int) -> bool:
    """Whether the last child is gone within some seconds; it has answered, and may be on its way out."""
    deadline = time.monotonic() + 10
    while children(server) and time.monotonic() < deadline:
        time.sleep(0.01)
    return children(server) == []


def asked_for(path: Path) -> bool:
    return "bn.running_mean" in read_inert(path, path.name, Kind.TORCH_ZIP).entries[0].tensors


def test_one_process_serves_all_files_and_keeps_no_child(weights: Path) -> None:
    assert asked_for(weights)
    (server,) = servers()
    assert all(asked_for(weights) for _ in range(5))
    assert servers() == [server]
    assert idle(server)


def test_a_child_beyond_its_limits_costs_one_file(
    weights: Path, hanging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hungry = weights.with_name("hungry.pkl")
    hungry.write_bytes(b"\x80\x04" + b"\x8f" * 500_000 + b".")  # half a million sets
    for path, kind, limit in ((hungry, Kind.PICKLE, {"memory": 1 << 27}), (hanging, Kind.TORCH_ZIP, {"seconds": 1})):
        with monkeypatch.context() as patched:
            patched.setattr(sandbox, "Request", functools.partial(Request, **limit))
            with pytest.raises(NotAnalysedError, match=r"(within the limits on|takes more) memory"):
                read_inert(path, path.name, kind)
        assert asked_for(weights)
        assert len(servers()) == 1


def test_a_child_that_is_killed_costs_one_file(weights: Path, hanging: Path) -> None:
    assert asked_for(weights)
    (server,) = servers()
    assert idle(server)
    said: list[str] = []

    def ask() -> None:
        with pytest.raises(NotAnalysedError) as caught:
            read_inert(hanging, "slow.pt", Kind.TORCH_ZIP)
        said.append(caught.value.cause)

    asking = threading.Thread(target=ask)
    asking.start()
    os.kill(first_child(server), signal.SIGKILL)
    asking.join(10)
    assert said == ["`slow.pt` could not be read within the limits on memory and time for untrusted files."]
    assert asked_for(weights)
    assert gone(server)
    assert len(servers()) == 1


def test_a_server_that_died_meanwhile_is_replaced(weights: Path) -> None:
    assert asked_for(weights)
    (server,) = servers()
    os.kill(server, signal.SIGKILL)
    assert gone(server)
    assert asked_for(weights)


def first_child(process: int) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := children(process):
            return found[0]
        time.sleep(0.01)
    raise AssertionError("no child came")


# What starts in the background, as with `nohup`, ignores Ctrl-C, and so would what it starts.
ASKS = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from bnlint.artifacts.inert.sandbox import read_inert
from bnlint.artifacts.sniff import Kind
read_inert(Path(sys.argv[1]), "model.pt", Kind.TORCH_ZIP)
"""


@pytest.mark.parametrize(("how", "of_all"), [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGKILL, False)])
def test_no_process_outlives_its_parent(how: signal.Signals, of_all: bool, hanging: Path) -> None:
    """`of_all`: a terminal sends Ctrl-C to all processes of the group."""
    parent = subprocess.Popen(
        [sys.executable, "-c", ASKS, str(hanging)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        stderr=subprocess.PIPE,
        process_group=0,
    )
    server = first_child(parent.pid)
    child = first_child(server)
    if of_all:
        os.killpg(parent.pid, how)
    else:
        os.kill(parent.pid, how)
    _, error = parent.communicate(timeout=20)
    assert parent.returncode == -how
    assert error.endswith(b"KeyboardInterrupt\n") == (how == signal.SIGINT)
    assert gone(server)
    assert gone(child)


def test_a_process_without_questions_ends_with_its_parent(weights: Path) -> None:
    code = (
        f"{ASKS}\nimport os\n"
        "(server,) = Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()\n"
        "print(server)\nraise SystemExit(3)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, str(weights)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert gone(int(done.stdout))


def test_a_forked_process_has_a_server_of_its_own(weights: Path) -> None:
    assert asked_for(weights)
    (server,) = servers()
    forked = os.fork()
    if forked == 0:
        try:
            own = asked_for(weights) and servers() not in ([], [server])
            os._exit(0 if own else 1)
        finally:
            os._exit(2)
    assert os.waitpid(forked, 0)[1] == 0
    assert asked_for(weights)
    assert servers() == [server]


def test_without_fork_each_file_has_a_new_process(
    weights: Path, hanging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_fork = read_inert(weights, "model.pt", Kind.TORCH_ZIP)
    monkeypatch.setattr(reader, "CAN_FORK", False)
    assert read_inert(weights, "model.pt", Kind.TORCH_ZIP) == with_fork
    monkeypatch.setattr(sandbox, "Request", functools.partial(Request, seconds=1))
    with pytest.raises(NotAnalysedError, match="could not be read within the limits"):
        read_inert(hanging, "slow.pt", Kind.TORCH_ZIP)


@pytest.mark.parametrize("can_fork", [True, False])
@pytest.mark.parametrize("program", ["/bin/false", "/no/such/program", sys.executable])
def test_a_process_that_does_not_start_is_no_fault_of_the_file(
    program: str, can_fork: bool, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader._READER.end()
    command = [program] if program != sys.executable else [program, "-c", "import a_module_that_is_not_there"]
    with monkeypatch.context() as patched:
        patched.setattr(reader, "CAN_FORK", can_fork)
        patched.setattr(reader, "_command", lambda module: command)
        for _ in range(2):
            with pytest.raises(NotAnalysedError) as caught:
                asked_for(weights)
            assert caught.value.cause == "The process that reads untrusted files could not be started."
            assert "Download" not in caught.value.hint
    assert asked_for(weights)


@pytest.mark.parametrize("sent", [0, 1, None])
def test_after_an_interrupted_question_the_same_file_can_be_asked_for(
    sent: int | None, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sent`: how many bytes of the question were written before Ctrl-C; `None` for all."""
    assert asked_for(weights)

    def interrupted(pipe: Sink, message: bytes) -> None:
        whole = io.BytesIO()
        write_frame(whole, message)
        pipe.write(whole.getvalue()[:sent])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(reader, "write_frame", interrupted)
        with pytest.raises(KeyboardInterrupt):
            asked_for(weights)
    assert reader._READER._process is None
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(asked_for(weights)), daemon=True)
    asking.start()
    asking.join(20)
    assert answers == [True]


def test_names_that_are_no_text(weights: Path) -> None:
    odd = weights.with_name(os.fsdecode(b"caf\xe9.pt"))
    weights.rename(odd)
    assert asked_for(odd)


@pytest.mark.parametrize(
    ("form", "needed"), [("zip", "machine"), ("plain", "legacy"), ("torchscript", "script"), ("directory", "directory")]
)
def test_a_form_imports_what_it_needs_and_nothing_else(form: str, needed: str) -> None:
    code = (
        f"import sys; sys.path[:] = {[str(ROOT), *filter(None, sys.path)]!r}\n"
        f"from bnlint.artifacts.inert.child import reader_of; reader_of({form!r})\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    ours = "bnlint.artifacts.inert."
    assert f"{ours}{needed}" in imported
    others = {"numpy", "torch", "onnx", f"{ours}onnx_contents", f"{ours}script", f"{ours}directory", f"{ours}package"}
    assert imported & others <= {f"{ours}{needed}"}
