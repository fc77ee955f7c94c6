from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.cli.conftest import Run
from tests.folding import models

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: an exported program, and the model that it was made from."""
    monkeypatch.chdir(tmp_path)
    model = models.trained()
    torch.export.save(torch.export.export(model, (images(),)), "model.pt2")
    torch.save(model, "model.pt")
    return tmp_path


def images() -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def outputs(file: str) -> Tensor:
    with torch.no_grad():
        return torch.export.load(file).module()(images())  # type: ignore[no-any-return]


def is_right(file: str) -> bool:
    program = torch.export.load(file)
    has_norm = any("batch_norm" in str(node.target) for node in program.graph.nodes)
    with torch.no_grad():
        return not has_norm and torch.allclose(outputs(file), models.trained()(images()), rtol=1e-4, atol=1e-5)


def test_a_program_is_folded_to_a_program(run: Run) -> None:
    ended = run("fold", "model.pt2", "--trust", "-o", "folded.pt2", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    assert is_right("folded.pt2")
    document = json.loads(ended.out)
    assert [(item["layer"], item["into"]) for item in document["folds"]] == [("bn1", ["conv1"]), ("bn2", ["conv2"])]
    assert document["form"] == "exported_program"
    assert document["original"]["name"] == "model.pt2"
    ended = run("verify", "folded.pt2", "--against", "model.pt2", "--trust")
    assert ended.code == 0, ended.out + ended.err
    assert "both hashes are those of the record" in ended.out


def test_a_program_is_folded_to_weights(run: Run) -> None:
    ended = run("fold", "model.pt2", "--trust", "-o", "folded.safetensors")
    assert ended.code == 0, ended.err
    assert not any(name.startswith("bn") for name in load_file("folded.safetensors"))
    ended = run("verify", "folded.safetensors", "--against", "model.pt2", "--trust")
    assert ended.code == 0, ended.out + ended.err


def test_a_model_is_folded_to_a_program(run: Run) -> None:
    ended = run("fold", "model.pt", "--trust", "-o", "folded.pt2", "--input", "2x3x8x8")
    assert (ended.code, ended.err) == (0, "")
    assert "note   Exported for 2x3x8x8:float32, any batch size." in ended.out
    assert is_right("folded.pt2")
    ended = run("verify", "folded.pt2", "--against", "model.pt", "--trust", "--input", "2x3x8x8")
    assert ended.code == 0, ended.out + ended.err


def test_a_program_is_folded_in_place(run: Run) -> None:
    assert run("fold", "model.pt2", "--trust", "--in-place").code == 0
    assert is_right("model.pt2")


def test_a_changed_program_is_found(run: Run) -> None:
    assert run("fold", "model.pt2", "--trust", "-o", "folded.pt2").code == 0
    program = torch.export.load("folded.pt2")
    with torch.no_grad():
        program.state_dict["conv2.weight"].mul_(1.01)
    torch.export.save(program, "folded.pt2")
    ended = run("verify", "folded.pt2", "--against", "model.pt2", "--trust")
    assert ended.code == 1
    assert "`conv2.weight` is of other values than folding gives." in ended.out
    assert "The outputs differ from the original's" in ended.out
    assert "`folded.pt2` is not the file of the record" in ended.out


def test_a_dry_run_of_a_program(run: Run) -> None:
    ended = run("fold", "model.pt2", "--trust", "--dry-run")
    assert ended.code == 0, ended.err
    assert "2 of 2 layers can be folded · nothing was written" in ended.out


def test_a_program_by_another_name_is_one_all_the_same(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    Path("model.pt2").rename("model.bin")
    ended = run("fold", "model.bin", "--trust", "-o", "folded.pt", "--format", "json")
    assert ended.code == 0
    ended = run("verify", "folded.pt", "--against", "model.bin", "--trust")
    assert ended.code == 0, ended.out
    assert not [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


BAD = {
    "no trust": (3, "model.pt2 -o out.pt2", "`--trust`"),
    "the input": (2, "model.pt2 --trust -o model.pt2 --overwrite", "is the input"),
    "weights": (2, "model.pt2 --trust --weights model.pt -o out.pt2", "a program with weights"),
    "a graph": (2, "model.pt2 --trust --as graph -o out.pt2", "is a graph already"),
    "another shape": (3, "model.pt2 --trust -o out.pt2 --input 3x3x8x8", "shapes that it is exported for"),
    "damaged": (3, "damaged.pt2 --trust -o out.pt2", "cut short or damaged"),
    "no program": (3, "empty.pt2 --trust -o out.pt2", "cannot be loaded by torch.export"),
    "training mode": (2, "training.pt2 --trust -o out.pt2", "exported in training mode"),
    "never updated": (2, "fresh.pt2 --trust -o out.pt2", "`--force`"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(run: Run, folder: Path, case: str) -> None:
    code, arguments, words = BAD[case]
    Path("damaged.pt2").write_bytes(Path("model.pt2").read_bytes()[:5000])

    with zipfile.ZipFile("empty.pt2", "w") as archive:
        archive.writestr("empty/archive_format", "pt2")
    torch.export.save(torch.export.export(models.fresh().train(), (images(),)), "training.pt2")
    torch.export.save(torch.export.export(models.fresh().eval(), (images(),)), "fresh.pt2")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ended = run("fold", *arguments.split())
    assert ended.code == code, ended.err
    assert words in ended.err
    assert ended.err.startswith("bnlint: ")
    assert ended.err.count("\n") == 1, ended.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
