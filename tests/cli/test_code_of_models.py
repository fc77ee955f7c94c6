"""On the command line, the code of models costs no report but its own: whatever it does, there is an answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch import acts
from tests.cli import stubs
from tests.processes import gone

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes as on Unix")

COMMANDS = {
    "check": "check acts:{} --format json",
    "check a file that is trusted": "check {} --trust --format json",
    "check a file of an admitted package": "check {} --allow mine --format json",
    "check many": "check acts:{} acts:nothing --format json",
    "inspect": "inspect acts:{} --format json",
    "fold": "fold acts:{} -o folded.pt --format json",
    "plan": "fold acts:{} --dry-run --format json",
    "verify": "verify given.pt --against given.pt --model acts:{}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "given.pt").write_text("given")
    return tmp_path


def start(folder: Path, command: str) -> subprocess.Popen[str]:
    return stubs.start([*command.split(), *(("--no-config",) if command.startswith("check") else ())], folder)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"sitecustomize.py", "given.pt", "running"}


@pytest.mark.parametrize("command", COMMANDS)
def test_stdout_is_the_report_whatever_the_code_writes(folder: Path, command: str) -> None:
    process = start(folder, COMMANDS[command].format("noise"))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("noise\n")) == (0, acts.NOISE)
    if command == "verify":
        assert out == "verified: the outputs differ by 0.0e+00 of their size (tolerance 1e-03), no record beside it\n"
    else:
        assert [json.loads(part) for part in (out.splitlines() if "many" in command else [out])]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_dead_process_is_no_green_gate(folder: Path, command: str) -> None:
    process = start(folder, COMMANDS[command].format("leave"))
    out, err = process.communicate(timeout=60)
    name = "leave" if "a file" in command else "acts:leave"
    says = f"`{name}` could not be analysed: the process that read it ended with exit code 0."
    assert process.returncode == 3
    assert (json.loads(out.splitlines()[0])["cause"] if "many" in command else err) == (
        says if "many" in command else f"bnlint: {says}\n"
    )
    assert ("many" in command) == bool(out)
    assert names(folder) == set()


@pytest.mark.parametrize(
    ("act", "says"),
    [
        ("raise_interrupt", "`acts:raise_interrupt` could not be analysed: its code raised KeyboardInterrupt."),
        ("hang", "`acts:hang` was given up after 2 seconds."),
        (
            "close_all",
            "`acts:close_all` could not be analysed: its code closed the pipe on which the report was to come.",
        ),
    ],
)
def test_a_sentence_says_how_it_ended(folder: Path, act: str, says: str) -> None:
    process = start(folder, f"check acts:{act} --file-timeout 2")
    assert (process.communicate(timeout=60), process.returncode) == (("", f"bnlint: {says}\n"), 3)


def test_debug_shows_the_traceback_of_the_process_in_which_it_failed(folder: Path) -> None:
    process = start(folder, "check acts:system_exit --debug")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.count("Traceback") == 1
    assert "in system_exit" in err
    assert err.endswith("bnlint itself failed: SystemExit: 0; please report it\n")


@pytest.mark.parametrize(
    ("command", "name", "code", "says"),
    [
        ("fold", "SIGINT", 130, "bnlint: interrupted\n"),
        ("fold", "SIGTERM", 143, "bnlint: ended by SIGTERM\n"),
        ("check many", "SIGTERM", 143, "bnlint: ended by SIGTERM\n"),
        ("check", "SIGHUP", 129, "bnlint: ended by SIGHUP\n"),
    ],
)
def test_a_signal_ends_all_processes(folder: Path, command: str, name: str, code: int, says: str) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # under nohup it is ignored, and children inherit that
    try:
        process = start(folder, COMMANDS[command].format("hang"))
    finally:
        signal.signal(signal.SIGINT, before)
    numbers = list(running(folder))
    if command == "fold":
        assert [name for name in names(folder) if name.endswith(".tmp")]
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", says)
    assert all(map(gone, numbers))
    assert names(folder) == set()


def test_a_signal_that_is_ignored_stays_so(folder: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start(folder, COMMANDS["check"].format("hang"))
    finally:
        signal.signal(signal.SIGHUP, before)
    list(running(folder))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


def running(folder: Path) -> Iterator[int]:
    """The processes of a model that hangs, once it does."""
    note, deadline = folder / "running", time.monotonic() + 60
    while not (note.exists() and note.read_text().count("\n") == 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    yield from map(int, note.read_text().split())


def test_of_three_folds_to_one_output_one_wins_and_the_others_say_so(folder: Path) -> None:
    processes = [start(folder, COMMANDS["fold"].format("wait_for_3")) for _ in range(3)]
    ended = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert sorted(code for _, code in ended) == [0, 2, 2]
    for (out, err), code in ended:
        assert bool(out) == (code == 0)
        assert ("was written by another program meanwhile" in err) == (code == 2)
    assert names(folder) == {"folded.pt", "folded.pt.bnlint.json", "waits_0", "waits_1", "waits_2"}


@pytest.mark.parametrize(
    ("act", "appears"), [("make_an_output", "folded.pt"), ("make_a_record", "folded.pt.bnlint.json")]
)
def test_an_output_that_appears_meanwhile_is_not_replaced_unless_it_may_be(
    folder: Path, act: str, appears: str
) -> None:
    for options, code in (("", 2), (" --overwrite", 0)):
        (folder / appears).unlink(missing_ok=True)
        process = start(folder, COMMANDS["fold"].format(act) + options)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert ((folder / appears).read_text() == "made") == (code == 2)
        if code == 2:
            assert names(folder) == {appears}


NOISY = r"""
import os
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        os.write(1, b"noise\n")
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
    def forward(self, x):
        os.write(1, b"noise\n")
        return self.bn(self.conv(x))
class Leaves(Net):
    def forward(self, x):
        os._exit(0)
class Unpickled:
    def __reduce__(self):
        return os._exit, (0,)
"""


def test_models_of_torch(tmp_path: Path) -> None:
    """The same with all that the stand-ins stand for: forwards, a constructor, and what `--trust` unpickles."""
    (tmp_path / "noisy.py").write_text(NOISY)
    make = "import noisy, torch; net = noisy.Net(); net.more = noisy.Unpickled(); torch.save(net, 'leaves.pt')"
    environment = os.environ | {"PYTHONPATH": f"{stubs.ROOT}{os.pathsep}{tmp_path}"}
    subprocess.run([sys.executable, "-c", make], cwd=tmp_path, env=environment, check=True, capture_output=True)
    size = "--input 2x3x8x8"
    wanted = {
        f"check noisy:Net {size} --format json --fail-on never": (0, ""),
        f"check noisy:Leaves {size} --format json": (3, "`noisy:Leaves`"),
        f"fold noisy:Leaves {size} --eval --force -o out.pt": (3, "`noisy:Leaves`"),
        "check leaves.pt --trust --format json": (3, "`leaves.pt`"),
    }
    for command, (code, name) in wanted.items():
        words = [sys.executable, "-m", "bnlint", *command.split()]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == code, done.stderr
        if code == 0:
            assert json.loads(done.stdout)["coverage"]["graph"] == "recorded"
            assert set(done.stderr.split()) == {"noise"}
        else:
            assert done.stdout == ""
            assert (
                f"bnlint: {name} could not be analysed: the process that read it ended with exit code 0.\n"
                in done.stderr
            )
    assert not (tmp_path / "out.pt").exists()
