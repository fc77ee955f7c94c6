"""The examples run, and show what they say they show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def _run(*command: str, cwd: Path = ROOT, code: int = 0, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1", **variables}
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def _bnlint(*arguments: str, cwd: Path = ROOT, code: int = 0) -> str:
    # The root is on the path for those who run the tests without having installed the tree.
    return _run(sys.executable, "-m", "bnlint", *arguments, cwd=cwd, code=code, PYTHONPATH=str(ROOT))


def test_demo_finds_each_fault_and_clears_the_healthy_model() -> None:
    output = _run(sys.executable, "-m", "examples.digits.demo")
    chapters = output.split("─" * 80)[1:-1]
    found = [re.findall(r"^(?:error|warning) +(BN\d+)", chapter, flags=re.MULTILINE) for chapter in chapters]
    assert found == [[], ["BN101"], ["BN102"], ["BN501"], ["BN502"]], output


def test_check_in_code() -> None:
    output = _run(sys.executable, "examples/check_in_code.py", PYTHONPATH=str(ROOT))
    before, after = output.split("After model.eval():")
    after, training = after.split("Can it be trained")
    assert "exit code 1, ok: False" in before
    assert "BN101" in before
    assert "exit code 0, ok: True" in after
    assert "BN101" not in after + training
    assert "BN302 one-value-per-channel (error) at 6\n" in training
    assert "(recorded)" in training


def test_custom_model_by_import_string_from_its_folder() -> None:
    arguments = ("check", "custom_model:build", "--input", "1x3x64x64", "--format", "json")
    training = ("--context", "training", "--batch-size", "1")
    report = json.loads(_bnlint(*arguments, *training, cwd=EXAMPLES, code=1))
    layers = {finding["code"]: finding["layers"] for finding in report["findings"]}
    assert layers["BN302"] == ["pooled.1"]

    kwargs = ("--kwargs", "{width: 64, pooled_branch: false}")
    report = json.loads(_bnlint(*arguments, *training, *kwargs, cwd=EXAMPLES))
    assert "BN302" not in {finding["code"] for finding in report["findings"]}


def test_own_rule() -> None:
    arguments = ("--rules", "examples/own_rule", "--select", "ACME101")
    model = ("check", "examples.custom_model:build", "--input", "1x3x64x64", "--format", "concise")
    assert "ACME101" in _bnlint(*model, *arguments)
    assert "ACME101" not in _bnlint(*model, *arguments, "--kwargs", "{width: 64}")
    assert "narrow-batch-norm" in _bnlint("explain", "ACME101", "--rules", "examples/own_rule")


def test_gate(tmp_path: Path) -> None:
    # A stand-in for the installed command, so that the gate is run as it is written.
    command = tmp_path / "bnlint"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bnlint "$@"\n')
    command.chmod(0o755)
    gate = str(EXAMPLES / "gate.sh")
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    assert "do not release" in _run(gate, "examples.check_in_code:build", cwd=tmp_path, code=1, **path)
    report = json.loads((tmp_path / "bnlint-report.json").read_text())
    assert report["schema"] == "bnlint-report-v1"
    assert report["findings"][0]["severity"] == "error"

    assert "set up wrongly" in _run(gate, "no-such-file.pt", "--no-such-option", cwd=tmp_path, code=2, **path)
    (tmp_path / "empty.pt").touch()
    assert "not the same as clean" in _run(gate, "empty.pt", cwd=tmp_path, code=3, **path)
