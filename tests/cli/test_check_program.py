"""Exported programs on the command line: checked without a flag and without torch's loader."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.artifacts.programs import GRAPH, edited, json_edit, save
from tests.cli.conftest import Run
from tests.models import ConvNet, with_plausible_statistics
from tests.tracing.proof import images

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: one model exported in eval and one in training mode; torch's loader is out of order."""
    monkeypatch.chdir(tmp_path)
    model = with_plausible_statistics(ConvNet())
    save(model.eval(), (images(),), tmp_path / "eval.pt2")
    save(model.train(), (images(),), tmp_path / "train.pt2")

    def broken(*_: Any, **__: Any) -> Any:
        raise AssertionError("torch.export.load was called")

    monkeypatch.setattr(torch.export, "load", broken)
    return tmp_path


def test_a_sound_program_is_clean(run: Run) -> None:
    ended = run("check", "eval.pt2")
    assert (ended.code, ended.err) == (0, "")
    assert "eval.pt2 · 2 BatchNorm layers" in ended.out
    assert "graph of the exported program" in ended.out


def test_training_mode_is_found(run: Run) -> None:
    ended = run("check", "train.pt2", "--format", "json")
    assert ended.code == 1
    report = json.loads(ended.out)
    assert [(item["code"], item["layers"]) for item in report["findings"]] == [("BN103", ["bn1", "bn2"])]
    assert report["coverage"]["form"] == "exported_program"


def test_facts_are_listed(run: Run) -> None:
    records = json.loads(run("inspect", "train.pt2", "--format", "json").out)["norms"]
    assert [(record["layer"], record["uses_batch_statistics"]) for record in records] == [("bn1", True), ("bn2", True)]


def test_native_code_is_named(run: Run, folder: Path) -> None:
    with zipfile.ZipFile(folder / "compiled.pt2", "w") as archive:
        archive.writestr("compiled/archive_format", "pt2")
        archive.writestr("compiled/data/aotinductor/model/abc.wrapper.so", b"\x7fELF")
    ended = run("check", "compiled.pt2")
    assert ended.code == 3
    assert "`compiled.pt2` is a package of AOTInductor, which is native code: nothing to read." in ended.err


def test_a_damaged_program_is_one_sentence(run: Run, folder: Path) -> None:
    edits = {GRAPH: json_edit(lambda document: document["graph_module"]["graph"]["nodes"][0].update(outputs=[]))}
    edited(folder / "eval.pt2", folder / "damaged.pt2", edits)
    ended = run("check", "damaged.pt2")
    assert ended.code == 3
    assert ended.out == ""
    assert "`damaged.pt2` is damaged: its graph contradicts itself" in ended.err
    assert "Traceback" not in ended.err


def test_the_weights_of_a_program_go_into_a_model(run: Run) -> None:
    ended = run("check", "tests.models:ConvNet", "--weights", "eval.pt2", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out)["findings"] == []
