"""The real command line on real files, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from jsonschema import Draft202012Validator
from torch import nn

import bnlint
from bnlint.reporters.schema import report_schema

ROOT = Path(bnlint.__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}


def bnlint_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bnlint", *arguments]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fresh model's weights, and a module with a factory."""
    folder = tmp_path_factory.mktemp("models")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    torch.save(model.state_dict(), folder / "fresh.pth")
    (folder / "ours.py").write_text(
        "import time\n"
        "from torch import nn\n"
        "def chatty():\n"
        "    print('hello from the factory')\n"
        "    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).eval()\n"
        "def slow():\n"
        "    open('started', 'w').close()\n"
        "    time.sleep(60)\n"
    )
    return folder


def test_dead_statistics_in_every_format(folder: Path) -> None:
    runs = {name: bnlint_in(folder, "check", "fresh.pth", "--format", name) for name in ("full", "concise", "json")}
    for name, ended in runs.items():
        assert ended.returncode == 1, name
        assert ended.stderr == "", name
    assert "error    BN501 never-updated-statistics" in runs["full"].stdout
    assert [line.split(" ")[:2] for line in runs["concise"].stdout.splitlines() if "BN501" in line] == [
        ["fresh.pth:1:", "BN501"],
        ["fresh.pth:4:", "BN501"],
    ]
    report = json.loads(runs["json"].stdout)
    Draft202012Validator(report_schema()).validate(report)
    assert [finding["layers"] for finding in report["findings"]] == [["1", "4"]]


def test_what_a_factory_prints_does_not_reach_the_report(folder: Path) -> None:
    ended = bnlint_in(folder, "check", "ours:chatty", "--input", "2x4", "--batch-size", "32", "--format", "json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["coverage"]["kinds"] == {"layer_norm": 1}
    assert ended.stderr == "hello from the factory\n"


def test_inspect_shows_the_facts(folder: Path) -> None:
    ended = bnlint_in(folder, "inspect", "ours:chatty", "--input", "2x4")
    assert ended.returncode == 0, ended.stderr
    assert "class_name=LayerNorm" in ended.stdout
    assert "input_shape=2×4" in ended.stdout


def test_a_missing_file_is_one_sentence(folder: Path) -> None:
    ended = bnlint_in(folder, "check", "absent.pth")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("bnlint: ")
    assert "absent.pth" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_control_c_ends_with_130(folder: Path) -> None:
    command = [sys.executable, "-m", "bnlint", "check", "ours:slow"]
    # A run in the background (nohup, some CI) ignores the signal, and what it starts inherits that.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=-1, stderr=-1, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while not (folder / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "bnlint: interrupted\n")
