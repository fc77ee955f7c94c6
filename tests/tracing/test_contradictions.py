"""A damaged file and a mistake of bnlint's own are told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from bnlint.artifacts.program_archive import read_program
from bnlint.tracing.contradictions import of_program
from tests.artifacts.onnx_models import saved as saved_onnx
from tests.artifacts.programs import GRAPH, edited, json_edit, save
from tests.cli.conftest import Run, run  # noqa: F401 - a fixture
from tests.models import ConvNet, with_plausible_statistics
from tests.tracing.proof import images

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(with_plausible_statistics(ConvNet()).eval(), (images(),), tmp_path_factory.mktemp("p") / "model.pt2")


mistaken = Mock(side_effect=KeyError("a mistake of bnlint"))


@pytest.mark.parametrize("place", ["bnlint.tracing.program.build_graph", "bnlint.facts.collect.shape_facts"])
def test_a_mistake_of_bnlint_on_a_sound_program_is_no_damage(
    run: Run,  # noqa: F811
    file: Path,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, mistaken)
    ended = run("check", str(file))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "bnlint: bnlint itself failed: KeyError: 'a mistake of bnlint'; run again with --debug and report it\n"
    ).removeprefix("bnlint: ")
    debugged = run("check", str(file), "--debug")
    assert debugged.code == 2
    assert "Traceback" in debugged.err
    assert "a mistake of bnlint" in debugged.err


def test_the_same_of_an_onnx_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("bnlint.facts.collect.shape_facts", mistaken)
    ended = run("check", str(saved_onnx(tmp_path / "model.onnx")))
    assert ended.code == 2
    assert ended.err.startswith("bnlint itself failed: KeyError")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda call: call.update(inputs=[]), "lacks its `input`"),
        (lambda call: call["inputs"][1].update(arg={"as_string": "weight"}), "is given no Optional[Tensor]"),
        (lambda call: call["inputs"][7].update(arg={"as_ints": [1]}), "is given no float as its `eps`"),
    ],
)
def test_what_makes_no_sense_is_named(change: Any, problem: str, file: Path, tmp_path: Path) -> None:
    def on_norm(document: Any) -> None:
        calls = document["graph_module"]["graph"]["nodes"]
        change(next(call for call in calls if "batch_norm" in call["target"]))

    path = edited(file, tmp_path / "model.pt2", {GRAPH: json_edit(on_norm)})
    assert problem in of_program(read_program(path, "model.pt2"))


def test_a_sound_program_contradicts_itself_nowhere(file: Path) -> None:
    assert of_program(read_program(file, "model.pt2")) == ""


def test_a_failure_on_a_graph_that_contradicts_itself_is_damage(
    run: Run,  # noqa: F811
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def halved(document: Any) -> None:
        sizes = document["graph_module"]["graph"]["tensor_values"]["p_conv1_weight"]["sizes"]
        sizes[0]["as_int"] = 4

    path = edited(file, tmp_path / "damaged.pt2", {GRAPH: json_edit(halved)})
    monkeypatch.setattr("bnlint.facts.collect.shape_facts", mistaken)
    ended = run("check", str(path))
    assert ended.code == 3
    assert "its graph contradicts itself: its graph and its weights give `conv1.weight` different shapes" in ended.err
