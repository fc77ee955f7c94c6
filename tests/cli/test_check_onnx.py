from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.artifacts.onnx_models import NORM, VALUES, call, saved


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bnlint", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_onnx_file_is_checked_by_all_rules_that_its_graph_allows(tmp_path: Path) -> None:
    calls = [
        call("Relu", ["x"], "before"),
        call("BatchNormalization", ["before", *NORM], "y", "mean", "variance", training_mode=1),
    ]
    path = saved(tmp_path / "model.onnx", calls, VALUES, shape=("batch", 4, 8, 8))
    done = run("check", path, "--format", "json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["coverage"]["form"] == "onnx"
    assert [finding["code"] for finding in report["findings"]] == ["BN103", "BN201"]
    assert not done.stderr


def test_folding_is_for_models_of_torch(tmp_path: Path) -> None:
    done = run("fold", saved(tmp_path / "model.onnx"), "-o", tmp_path / "folded.pt")
    assert done.returncode == 2
    assert "is an ONNX file" in done.stderr
    assert not (tmp_path / "folded.pt").exists()
