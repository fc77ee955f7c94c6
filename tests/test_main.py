"""`python -m bnlint` does not run what lies in the current folder under a name of the standard library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bnlint

_ROOT = Path(bnlint.__file__).parent.parent
_TRAPS = ("timeit", "typing", "re", "enum", "dataclasses", "click", "yaml", "torch")


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-m", "bnlint", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in _TRAPS:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('the {name}.py of the current folder was run')\n")
    (tmp_path / "mine.py").write_text(
        "import timeit\nfrom torch import nn\ndef make():\n    return nn.Sequential(nn.BatchNorm1d(2))\n"
    )
    return tmp_path


def test_help(folder: Path) -> None:
    done = _run(folder, "--help")
    assert done.returncode == 0, done.stderr
    assert "check" in done.stdout


def test_a_model_of_the_current_folder(folder: Path) -> None:
    done = _run(folder, "check", "mine:make")
    assert "of the current folder was run" not in done.stderr
    assert done.returncode == 1, done.stderr  # in training mode, and without a single update
    assert "BN101" in done.stdout
