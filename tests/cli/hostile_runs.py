"""Runs the command line on files, in a process where importing, running and writing are forbidden; run as a script."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pkgutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bnlint
from benchmarks.resident import peak
from bnlint.cli.main import main
from tests.artifacts.forbidden import forbid, warm_up
from tests.cli.in_process import in_this_process

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a run of the command line ended.

    Attributes:
        code: Its exit code.
        out: What it printed.
        err: What it complained of.
        seconds: Wall-clock time.
        megabytes: The highest resident memory of the process so far.
    """

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float


def run_all(benign: Sequence[Sequence[str]], hostile: Sequence[Sequence[str]], folder: Path) -> list[Ended]:
    """Run bnlint with arguments, one run after the other.

    Args:
        benign: Arguments of runs in which what bnlint needs is imported.
        hostile: Arguments of runs in which all that is forbidden.
        folder: The current folder of the runs.

    Returns:
        How the hostile runs ended.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.hostile_runs"],
        input=json.dumps([benign, hostile]),
        capture_output=True,
        text=True,
        timeout=280,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder / 'site'}", "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [Ended(**item) for item in json.loads(done.stdout)]


def _run(arguments: Sequence[str]) -> dict[str, Any]:
    out, err, start, code = io.StringIO(), io.StringIO(), time.monotonic(), 0
    sys.argv = ["bnlint", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), in_this_process():
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    megabytes = peak() / 1e6
    seconds = time.monotonic() - start
    return {"code": code, "out": out.getvalue(), "err": err.getvalue(), "seconds": seconds, "megabytes": megabytes}


def _main() -> None:
    benign, hostile = json.load(sys.stdin)
    for module in pkgutil.walk_packages(bnlint.__path__, "bnlint."):
        if module.name != "bnlint.__main__":
            importlib.import_module(module.name)
    warm_up()
    for arguments in benign:
        ended = _run(arguments)
        assert ended["code"] in (0, 1, 3), ended
    lift = forbid()
    answers = [_run(arguments) for arguments in hostile]
    lift()
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    _main()
