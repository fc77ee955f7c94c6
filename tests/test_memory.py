"""Memory that is short is said in one sentence, whatever noticed it."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bnlint.cli.failures import as_command_error
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.memory import may_be_shortage, shortage

_NUMPY = """

IMPORTANT: PLEASE READ THIS FOR ADVICE ON HOW TO SOLVE THIS ISSUE!

Original error was: libscipy_openblas64_.so: failed to map segment from shared object
"""

SHORT = {
    "MemoryError": MemoryError(),
    "MemoryError with words": MemoryError("std::bad_alloc"),
    "a library": ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    "a library of NumPy": ImportError(_NUMPY),
    "the system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "torch": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    "a thread": RuntimeError("can't start new thread"),
}


@pytest.mark.parametrize("kind", SHORT)
def test_every_kind_alone_and_as_the_cause_of_another(kind: str) -> None:
    ended = as_command_error(SHORT[kind], debug=False)
    assert ended.status == 3
    assert ended.message.startswith("bnlint: Memory is short: ")
    assert "\n" not in ended.message
    assert "report it" not in ended.message
    error = UsageError("Importing `nets` failed.", "Did you mean `net`?")
    error.__cause__ = ValueError("anything")
    error.__cause__.__context__ = SHORT[kind]
    ended = as_command_error(error, debug=False)
    assert ended.status == 3
    assert ended.message.startswith("bnlint: Importing `nets` failed. Memory is short. ")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("memory"),
        ImportError("No module named 'torch'"),
        OSError(errno.ENOENT, "No such file"),
        RuntimeError("size mismatch"),
        NotAnalysedError("`a` is damaged."),
    ],
)
def test_what_is_no_shortage(error: Exception) -> None:
    assert shortage(error) is None


def test_causes_in_a_circle() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert shortage(first) is None


def test_a_process_that_was_killed_may_have_lacked_memory() -> None:
    assert may_be_shortage(-9)
    assert not may_be_shortage(-15)
    assert not may_be_shortage(1)


_STARVED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
sys.argv = ["bnlint", *{arguments!r}]
from bnlint.cli.main import main
main()
"""


def starved(megabytes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = _STARVED.format(limit=megabytes << 20, arguments=arguments)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
    torch.save(model, "whole.pt")
    torch.save(model.state_dict(), "weights.pt")
    Path("nets.py").write_text("import torch\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits on address space")
@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("megabytes", "arguments"),
    [
        (32, ("check", "weights.pt")),
        (80, ("check", "weights.pt")),
        (200, ("check", "whole.pt")),
        (400, ("check", "whole.pt")),
        (550, ("check", "whole.pt")),
        (400, ("check", "nets:Net")),
        (400, ("fold", "whole.pt", "--dry-run")),
    ],
)
def test_starved_of_memory(megabytes: int, arguments: tuple[str, ...]) -> None:
    done = starved(megabytes, *arguments)
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert "Memory is short" in done.stderr
    assert f"`ulimit -v` is {megabytes << 10}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits on address space")
@pytest.mark.usefixtures("models")
def test_a_starved_worker_says_so_and_what_fits_is_checked() -> None:
    done = starved(400, "check", "weights.pt", "whole.pt", "--format", "concise")
    assert done.returncode in (1, 3), done.stderr
    assert "whole.pt: not-analysed: Memory is short: importing torch takes" in done.stdout
    assert "weights.pt: not-analysed" not in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits on address space")
@pytest.mark.usefixtures("models")
def test_a_limit_that_is_large_enough_changes_nothing() -> None:
    assert starved(1 << 16, "check", "whole.pt", "--select", "BN101").returncode == 0
