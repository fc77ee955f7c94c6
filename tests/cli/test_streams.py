"""A report that cannot be written is a sentence, never a clean exit and never a failure of bnlint itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import stubs

COMMANDS = (
    "--help",
    "check -h",
    "--version",
    "rules",
    "facts",
    "explain BN501",
    "check acts:nothing --no-config",
    "check nothing acts:nothing --no-config --format json",
    "inspect acts:nothing",
    "fold acts:nothing --dry-run",
    "verify nothing --against nothing --model acts:nothing",
)
FULL = "bnlint: The report cannot be written: No space left on device.\n"
CLOSED = "bnlint: The report cannot be written: standard output is closed.\n"
STDOUT = """
python -m bnlint {command} > /dev/full 2> full; echo $?
python -m bnlint {command} >&- 2> closed; echo $?
(python -m bnlint {command} 2> left; echo $? > code) | true; cat code
"""
STDERR = """
python -m bnlint {command} >&- 2>&-; echo $?
python -m bnlint {command} > report; echo $?
python -m bnlint {command} 2> /dev/full > full; echo $?
python -m bnlint {command} <&- 2>&- > closed; echo $?
"""

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def run(script: str, command: str, folder: Path) -> list[str]:
    """The exit codes of the commands of a script."""
    (folder / "nothing").write_text("given")
    words = script.format(command=command).replace("python", sys.executable)
    environment = stubs.environment(folder)
    done = subprocess.run(
        ["bash", "-c", words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    return done.stdout.split()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_report_that_cannot_be_written_is_a_sentence(command: str, tmp_path: Path) -> None:
    assert run(STDOUT, command, tmp_path) == ["2", "2", "0"]
    assert [(tmp_path / name).read_text() for name in ("full", "closed", "left")] == [FULL, CLOSED, ""]


@pytest.mark.parametrize("command", ["--help", "check acts:nothing --no-config"])
def test_a_stderr_that_takes_nothing_changes_nothing(command: str, tmp_path: Path) -> None:
    assert run(STDERR, command, tmp_path) == ["2", "0", "0", "0"]
    report, full, closed = ((tmp_path / name).read_text() for name in ("report", "full", "closed"))
    assert report
    assert report == full == closed


def test_a_complaint_that_nobody_can_be_told_is_an_exit_code(tmp_path: Path) -> None:
    for command in ("chek", "check nowhere.pt", "check acts:leave"):
        assert run(STDERR, command, tmp_path) == ["3"] * 4 if "leave" in command else ["2"] * 4
