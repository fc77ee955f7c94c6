"""The example with weights that others have published: its table, its download, and what bnlint says of the files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import examples.published_weights.__main__ as example
from examples.published_weights import download
from examples.published_weights.table import Package, WeightFile, packages
from tests.artifacts.onnx_models import saved

ROOT = Path(__file__).parents[1]
PACKAGE = Package("a-model", "1.0", "MIT", "0" * 64, (WeightFile("a_model/model.onnx", {"batch_norm": 1}, ("BN606",)),))


@pytest.mark.network
def test_small_packages_are_as_in_the_table() -> None:
    command = [sys.executable, "-m", "examples.published_weights"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode == example.NOT_DOWNLOADED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == example.AS_IN_THE_TABLE, done.stdout + done.stderr
    assert "5 of 5 packages are as in the table" in done.stdout


def test_the_table_pins_every_wheel_and_names_its_licence() -> None:
    assert len(packages()) >= 6
    for package in packages():
        assert package.licence in {"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause"}
        assert len(bytes.fromhex(package.sha256)) == 32
        assert package.files


def test_without_a_registry_nothing_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert example.main(["attacut"]) == example.NOT_DOWNLOADED
    assert "no registry" in capsys.readouterr().err


def test_what_pip_refuses_is_no_matter_of_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."
    answer = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(download.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(download.WrongContentsError):
        download.download([PACKAGE], tmp_path)


def test_only_what_the_table_names_is_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "A_Model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("a_model/model.onnx", saved(tmp_path / "model.onnx").read_bytes())
        wheel.writestr("a_model/__init__.py", "raise SystemExit")
    with monkeypatch.context() as patch:
        patch.setattr(download.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "", ""))
        places = download.download([PACKAGE], tmp_path)
    assert [path.name for path in places["a-model"].rglob("*") if path.is_file()] == ["model.onnx"]
    assert example.check(PACKAGE, places["a-model"], reports=False)


@pytest.mark.parametrize(
    "expected",
    [
        WeightFile("model.onnx", {"batch_norm": 2}, ("BN606",)),
        WeightFile("model.onnx", {"batch_norm": 1}),
        WeightFile("model.onnx", {"batch_norm": 1}, ("BN606",), refused="Namespace"),
    ],
)
def test_a_difference_is_told(expected: WeightFile, tmp_path: Path) -> None:
    _, differences = example.look(expected, saved(tmp_path / "model.onnx"), reports=False)
    assert len(differences) == 1


def test_a_second_count_that_differs_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.onnx")
    assert example.second_count(path, 1, calls_foreign_code=False) == []
    assert len(example.second_count(path, 2, calls_foreign_code=False)) == 1
    assert len(example.second_count(path, 1, calls_foreign_code=True)) == 1
