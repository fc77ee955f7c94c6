"""What a check of a file does not do, because it would take a good part of its time: counted in modules and objects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.models import ConvNet, with_plausible_statistics

ROOT = Path(__file__).parents[2]
PROGRAM = """
import atexit, gc, sys

def report():
    print("imported", *sys.modules, file=sys.stderr)
    print("frozen", gc.get_freeze_count(), "threshold", gc.get_threshold()[0], file=sys.stderr)

atexit.register(report)  # first of all, so that it is called last
from bnlint.cli.main import main
main()
"""
IN_ANY_FILE = {"torch", "difflib", "tomllib", "traceback", "json", "rich.console", "rich.table", "rich.progress"}
IN_SAFETENSORS = {"subprocess", "pickletools", "hashlib", "bnlint.artifacts.shards", "bnlint.artifacts.inert.machine"}


def check(path: Path) -> list[list[str]]:
    """The words of each line that the program reports."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "check", str(path), "--no-config", "--fail-on", "never"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split() for line in done.stderr.splitlines()]


@pytest.fixture(params=["safetensors", "state_dict", "whole model"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    model = with_plausible_statistics(ConvNet())
    file = tmp_path / request.param.replace(" ", "_")
    if request.param == "safetensors":
        save_file(model.state_dict(), file)
    else:
        torch.save({"ema": model if request.param == "whole model" else model.state_dict()}, file)
    return file


def test_no_module_is_imported_for_what_is_not_asked(path: Path) -> None:
    imported = next(words for words in check(path) if words[0] == "imported")
    idle = IN_ANY_FILE | (IN_SAFETENSORS if path.name == "safetensors" else set())
    assert not idle & set(imported)


def test_few_objects_are_searched_for_cycles(path: Path) -> None:
    _, frozen, _, threshold = next(words for words in check(path) if words[0] == "frozen")
    assert int(frozen) > 10_000  # none of them when the process ends
    assert int(threshold) > 10_000  # by Python's own rule, 700
