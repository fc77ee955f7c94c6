from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from jsonschema import Draft202012Validator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.package import PackageExporter

import bnlint
from bnlint.reporters.schema import fold_schema, render_schema
from tests.cli.conftest import Run
from tests.folding import models

ROOT = Path(bnlint.__file__).parent.parent
MODELS = "tests.folding.models"
SIZE = ("--input", "1x3x8x8")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a trained model in three forms, and one that was saved in training mode."""
    monkeypatch.chdir(tmp_path)
    model = models.trained()
    torch.save(model, "model.pt")
    torch.save(model.state_dict(), "model.pth")
    save_file(model.state_dict(), "model.safetensors")
    torch.save(models.training(), "training.pt")
    return tmp_path


def contents() -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path().iterdir() if path.is_file()}


def images(size: int = 8) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def same_outputs(one: nn.Module, other: nn.Module, inputs: Tensor) -> bool:
    with torch.no_grad():
        return torch.allclose(one(inputs), other(inputs), rtol=1e-4, atol=1e-5)


def kinds(model: nn.Module) -> list[str]:
    return [type(module).__name__ for module in model.modules() if "BatchNorm" in type(module).__name__]


def test_a_whole_model(run: Run) -> None:
    ended = run("fold", "model.pt", "--trust", "-o", "folded.pt", *SIZE)
    assert ended.code == 0, ended.err
    assert ended.err == ""
    folded = torch.load("folded.pt", weights_only=False)
    assert kinds(folded) == []
    assert same_outputs(folded, models.trained(), images())
    lines = [line.split() for line in ended.out.splitlines()]
    assert ["bn1", "conv1"] in [line[:2] for line in lines]
    assert "verified: the outputs differ by" in ended.out
    assert " ".join(ended.out.split()).endswith("2 of 2 layers folded · written to folded.pt")


@pytest.mark.parametrize("weights", ["model.pth", "model.safetensors", "model.pt"])
@pytest.mark.parametrize("output", ["folded.safetensors", "folded.pth"])
def test_a_factory_with_weights(run: Run, weights: str, output: str) -> None:
    ended = run("fold", f"{MODELS}:fresh", "--weights", weights, "--trust", "-o", output, *SIZE)
    assert ended.code == 0, ended.err
    if output == "folded.safetensors":
        state = load_file(output)
    else:
        saved = torch.load(output, weights_only=weights != "model.pt")
        state = saved.state_dict() if weights == "model.pt" else saved
    # As docs/folding.md says: folding the fresh model gives the right layers.
    model = bnlint.fold(models.fresh(), ("1x3x8x8",), force=True).model
    model.load_state_dict(state)
    assert same_outputs(model, models.trained(), images())


def test_a_factory_is_put_in_eval_mode_with_a_note(run: Run) -> None:
    ended = run("fold", f"{MODELS}:training", "--weights", "model.pth", "-o", "folded.pt", *SIZE)
    assert ended.code == 0, ended.err
    assert "note   The model was put in eval mode." in ended.out


def test_a_pickle_of_timm_loads_without_bnlint(run: Run) -> None:
    original = models.tiny_timm()
    torch.save(original, "timm.pt")
    ended = run("fold", "timm.pt", "--trust", "-o", "folded.pt", "--input", "1x3x32x32")
    assert ended.code == 0, ended.err
    torch.save(images(32), "images.pt")
    program = (
        "import runpy, sys\n"
        "sys.modules['bnlint'] = None\n"
        f"runpy.run_path({str(ROOT / 'tests' / 'torchvision_ops.py')!r})\n"
        "import torch\n"
        "model = torch.load('folded.pt', weights_only=False)\n"
        "names = {type(module).__name__ for module in model.modules()}\n"
        "assert not any('BatchNorm' in name for name in names), names\n"
        "torch.save(model(torch.load('images.pt')).detach(), 'outputs.pt')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert torch.allclose(torch.load("outputs.pt"), original(images(32)), rtol=1e-4, atol=1e-5)


def test_the_record_and_the_json_format_are_one(run: Run, folder: Path) -> None:
    before = contents()
    ended = run("fold", str(folder / "model.pt"), "--trust", "-o", str(folder / "folded.pt"), *SIZE, "--format", "json")
    assert ended.code == 0, ended.err
    assert ended.out == Path("folded.pt.bnlint.json").read_text()
    assert str(folder) not in ended.out
    document = json.loads(ended.out)
    Draft202012Validator(fold_schema()).validate(document)
    assert document["original"] == {"name": "model.pt", "sha256": before["model.pt"]}
    assert document["folded"] == {"name": "folded.pt", "sha256": contents()["folded.pt"]}
    assert set(contents()) == {*before, "folded.pt", "folded.pt.bnlint.json"}


@pytest.mark.parametrize("format_", ["full", "json"])
def test_a_dry_run_writes_nothing(run: Run, format_: str) -> None:
    before = contents()
    ended = run("fold", f"{MODELS}:shared", "--dry-run", "-o", "folded.pt", *SIZE, "--format", format_)
    assert ended.code == 0, ended.err
    assert contents() == before
    if format_ == "json":
        document = json.loads(ended.out)
        assert document["folds"] == []
        assert [kept["layer"] for kept in document["kept"]] == ["bn"]
        assert document["proof"] is None
    else:
        assert "0 of 1 layers can be folded · nothing was written" in ended.out


def test_a_dry_run_says_what_the_fold_does(run: Run) -> None:
    arguments = ("fold", f"{MODELS}:shared", *SIZE, "--format", "json")
    planned, folded = (json.loads(run(*arguments, *further).out) for further in (("--dry-run",), ("-o", "folded.pt")))
    assert planned["kept"] == folded["kept"] != []
    assert [(item["layer"], item["into"]) for item in planned["folds"]] == [
        (item["layer"], item["into"]) for item in folded["folds"]
    ]


def test_a_dry_run_needs_no_weights(run: Run) -> None:
    ended = run("fold", f"{MODELS}:without_weights", "--dry-run", *SIZE)
    assert ended.code == 0, ended.err
    assert "2 of 2 layers can be folded" in ended.out


def test_eval_is_offered_and_works(run: Run) -> None:
    assert "`--eval`" in run("fold", "training.pt", "--trust", "-o", "folded.pt", *SIZE).err
    ended = run("fold", "training.pt", "--trust", "-o", "folded.pt", *SIZE, "--eval")
    assert ended.code == 0, ended.err
    assert "note   The model was put in eval mode." in ended.out
    assert same_outputs(torch.load("folded.pt", weights_only=False), models.trained(), images())


def test_force_is_offered_and_works(run: Run) -> None:
    assert "`--force`" in run("fold", f"{MODELS}:fresh", "-o", "folded.pt", *SIZE).err
    assert run("fold", f"{MODELS}:fresh", "-o", "folded.pt", *SIZE, "--force").code == 0


def test_in_place(run: Run) -> None:
    before = contents()
    ended = run("fold", "model.pt", "--trust", "--in-place", *SIZE)
    assert ended.code == 0, ended.err
    assert kinds(torch.load("model.pt", weights_only=False)) == []
    assert json.loads(Path("model.pt.bnlint.json").read_text())["original"]["sha256"] == before["model.pt"]
    assert run("fold", f"{MODELS}:fresh", "--weights", "model.pth", "-o", "model.pth", "--in-place", *SIZE).code == 0
    assert "bn1.weight" not in torch.load("model.pth")


def test_overwrite(run: Run) -> None:
    Path("folded.pt").write_bytes(b"old")
    ended = run("fold", "model.pt", "--trust", "-o", "folded.pt", "--overwrite", *SIZE)
    assert ended.code == 0, ended.err
    assert kinds(torch.load("folded.pt", weights_only=False)) == []


def test_folding_twice_changes_nothing_more(run: Run) -> None:
    assert run("fold", "model.pt", "--trust", "-o", "once.pt", *SIZE).code == 0
    ended = run("fold", "once.pt", "--trust", "-o", "twice.pt", *SIZE)
    assert ended.code == 0, ended.err
    assert contents()["twice.pt"] == contents()["once.pt"]
    assert "0 of 0 layers folded" in " ".join(ended.out.split())


def test_as_a_graph(run: Run) -> None:
    ended = run("fold", f"{MODELS}:shared", "-o", "folded.pt", "--as", "graph", *SIZE)
    assert ended.code == 0, ended.err
    folded = torch.load("folded.pt", weights_only=False)
    assert isinstance(folded, torch.fx.GraphModule)
    assert kinds(folded) == []
    assert same_outputs(folded, models.shared(), images()[:1])


def test_given_inputs_are_part_of_the_proof(run: Run) -> None:
    torch.save(images(16), "images.pt")
    numpy.savez("images.npz", images(12).numpy())
    arguments = ("--verify-inputs", "images.pt", "--verify-inputs", "images.npz", "--format", "json")
    ended = run("fold", "model.pt", "--trust", "-o", "folded.pt", *SIZE, *arguments)
    assert ended.code == 0, ended.err
    words = ["1x3x8x8:float32", "2x3x16x16:float32", "2x3x12x12:float32"]
    assert json.loads(ended.out)["proof"]["inputs"] == words
    ended = run("fold", "model.pt", "--trust", "-o", "other.pt", "--verify-inputs", "images.pt", "--format", "json")
    assert json.loads(ended.out)["proof"]["inputs"] == ["2x3x16x16:float32"]


BAD = {
    "training mode": (2, "training.pt --trust -o out.pt", "`--eval`"),
    "training mode, dry run": (2, "training.pt --trust --dry-run", "`--eval`"),
    "never updated": (2, f"{MODELS}:fresh -o out.pt", "`--force`"),
    "not finite": (3, f"{MODELS}:infinite -o out.pt --force", "bn2 are not finite"),
    "no weights": (3, f"{MODELS}:without_weights -o out.pt", "no weights"),
    "weights alone": (2, "model.safetensors -o out.pt", "without the model"),
    "no trust": (3, "model.pt -o out.pt", "`--trust`"),
    "no output": (2, "model.pt --trust", "`-o FILE`"),
    "output exists": (2, "model.pt --trust -o training.pt", "`--overwrite`"),
    "output is the input": (2, "model.pt --trust -o model.pt --overwrite", "is the input"),
    "output is a link to the input": (2, "model.pt --trust -o link.pt --overwrite", "is the input"),
    "output is the weights": (2, f"{MODELS}:fresh --weights model.pth -o model.pth", "is the input"),
    "output is a folder": (2, "model.pt --trust -o .", "a folder"),
    "no such folder": (2, "model.pt --trust -o absent/out.pt", "no folder `absent`"),
    "a device": (2, "model.pt --trust -o /dev/null --overwrite", "not a regular file"),
    "another format": (2, "model.pt --trust -o out.onnx", "cannot write .onnx"),
    "record exists": (2, "model.pt --trust -o taken.pt", "`taken.pt.bnlint.json` exists"),
    "in place of nothing": (2, f"{MODELS}:trained --in-place", "no file"),
    "in place elsewhere": (2, "model.pt --trust --in-place -o out.pt", "not the input"),
    "in place over another": (2, "model.pt --trust --in-place -o training.pt", "not the input"),
    "graph as weights": (2, "model.pt --trust --as graph -o out.safetensors", "whole model"),
    "wrong input": (3, "model.pt --trust -o out.pt --input 1x4x8x8", "could not be run"),
    "no such verify inputs": (2, "model.pt --trust -o out.pt --verify-inputs absent.npz", "no file `absent.npz`"),
    "wrong verify inputs": (3, "model.pt --trust -o out.pt --verify-inputs wrong.pt", "2x4x8x8"),
    "verify inputs without values": (2, "model.pt --trust -o out.pt --verify-inputs 1x3x8x8", "no values"),
    "a proof that fails": (3, f"{MODELS}:chaotic -o out.pt", "Nothing was written."),
    "cannot be pickled": (3, f"{MODELS}:with_function -o out.pt", ".safetensors"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(run: Run, case: str) -> None:
    code, arguments, words = BAD[case]
    Path("link.pt").symlink_to("model.pt")
    Path("taken.pt.bnlint.json").write_text("{}")
    torch.save(torch.rand(2, 4, 8, 8), "wrong.pt")
    before = contents()
    given = arguments.split()
    ended = run("fold", *given, *(() if "--input" in given else SIZE))
    assert ended.code == code, ended.err
    assert words in ended.err
    assert ended.err.startswith("bnlint: ")
    assert ended.err.count("\n") == 1
    assert (ended.out == "") == (case != "a proof that fails")
    assert contents() == before


def test_a_failed_proof_names_the_worst_layer(run: Run) -> None:
    ended = run("fold", f"{MODELS}:chaotic", "-o", "out.pt", *SIZE)
    assert "worst at bn" in ended.err
    assert "The proof failed" in ended.out
    ended = run("fold", f"{MODELS}:chaotic", "-o", "out.pt", *SIZE, "--format", "json")
    assert json.loads(ended.out)["proof"]["verified"] is False
    assert json.loads(ended.out)["folded"] is None


def test_no_space_is_one_sentence(folder: Path) -> None:
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from bnlint.cli.main import main\n"
        "main()"
    )
    before = contents()
    for output in ("out.pt", "out.safetensors"):
        done = subprocess.run(
            [sys.executable, "-c", program, "fold", "model.pt", "--trust", "-o", output, *SIZE],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 3, done.stderr
        assert done.stderr == f"bnlint: `{output}` cannot be written: File too large.\n"
        assert contents() == before


def verify(run: Run, *arguments: str) -> tuple[int, str]:
    ended = run("verify", *arguments, *SIZE)
    return ended.code, ended.out + ended.err


@pytest.fixture
def folded(run: Run) -> None:
    assert run("fold", "model.pt", "--trust", "-o", "whole.pt", *SIZE).code == 0
    for output in ("folded.safetensors", "folded.pth"):
        assert run("fold", f"{MODELS}:fresh", "--weights", "model.pth", "-o", output, *SIZE).code == 0


WEIGHTS = ("--against", "model.pth", "--model", f"{MODELS}:fresh")
WHOLE = ("--against", "model.pt", "--trust")


@pytest.mark.usefixtures("folded")
def test_what_was_written_verifies(run: Run) -> None:
    before = contents()
    for arguments in (("folded.safetensors", *WEIGHTS), ("folded.pth", *WEIGHTS), ("whole.pt", *WHOLE)):
        code, text = verify(run, *arguments)
        assert code == 0, text
        assert text.startswith("verified: the outputs differ by")
        assert "both hashes are those of the record" in text
    Path("whole.pt.bnlint.json").unlink()
    code, text = verify(run, "whole.pt", *WHOLE)
    assert code == 0, text
    assert "no record beside it" in text
    assert {**contents(), "whole.pt.bnlint.json": before["whole.pt.bnlint.json"]} == before


def _scale(state: dict[str, Any]) -> None:
    state["conv2.weight"] *= 1.01


def _drop(state: dict[str, Any]) -> None:
    del state["conv1.bias"]


def _cast(state: dict[str, Any]) -> None:
    state["conv1.bias"] = state["conv1.bias"].half()


@pytest.mark.usefixtures("folded")
@pytest.mark.parametrize(("change", "words"), [(_scale, "other values"), (_drop, "missing"), (_cast, "data type")])
def test_a_changed_file_is_found(run: Run, change: Any, words: str) -> None:
    state = torch.load("folded.pth")
    change(state)
    torch.save(state, "folded.pth")
    for has_record in (True, False):
        code, text = verify(run, "folded.pth", *WEIGHTS)
        assert code == 1, text
        assert words in text
        assert ("hash is another one" in text) == has_record
        Path("folded.pth.bnlint.json").unlink(missing_ok=True)


@pytest.mark.usefixtures("folded")
def test_another_forward_is_found_by_its_outputs(run: Run) -> None:
    model = torch.load("whole.pt", weights_only=False)
    model.conv2.stride = (1, 1)
    torch.save(model, "whole.pt")
    Path("whole.pt.bnlint.json").unlink()
    code, text = verify(run, "whole.pt", *WHOLE)
    assert code == 1, text
    assert "The outputs differ from the original's" in text


@pytest.mark.usefixtures("folded")
def test_another_original_is_found(run: Run) -> None:
    other = models.trained()
    with torch.no_grad():
        other.get_parameter("conv1.weight").mul_(2)
    torch.save(other.state_dict(), "model.pth")
    code, text = verify(run, "folded.safetensors", *WEIGHTS)
    assert code == 1, text
    assert "`model.pth` is not the file of the record" in text
    assert "`conv1.weight` is of other values than folding gives." in text


@pytest.mark.usefixtures("folded")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("absent.pt", *WHOLE), 2, "no file `absent.pt`"),
        (("whole.pt", "--against", "model.pt"), 3, "`--trust`"),
        (("folded.pth", "--against", "model.pth"), 2, "without the model"),
        (("folded.pth", "--against", "absent.pth", "--model", f"{MODELS}:fresh"), 2, "no file `absent.pth`"),
        (("folded.pth",), 2, "--against"),
        (("broken.pth", *WEIGHTS), 3, "is no record of a fold"),
    ],
)
def test_what_cannot_be_verified_is_one_sentence(run: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    Path("broken.pth").write_bytes(Path("folded.pth").read_bytes())
    Path("broken.pth.bnlint.json").write_text("{}")
    ended = run("verify", *arguments, *SIZE)
    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err


@pytest.mark.usefixtures("folded")
def test_the_record_of_another_fold_is_found(run: Run) -> None:
    other = models.trained()
    with torch.no_grad():
        other.get_parameter("conv1.weight").mul_(2)
    torch.save(other, "other.pt")
    assert run("fold", "other.pt", "--trust", "-o", "other_folded.pt", *SIZE).code == 0
    Path("other_folded.pt.bnlint.json").replace("whole.pt.bnlint.json")
    code, text = verify(run, "whole.pt", *WHOLE)
    assert code == 1, text
    assert "`whole.pt` is not the file of the record" in text
    assert "`model.pt` is not the file of the record" in text
    assert "other values" not in text, "the weights themselves are right"


@pytest.mark.usefixtures("folded")
def test_other_versions_are_named_where_something_differs(run: Run) -> None:
    path = Path("folded.pth.bnlint.json")
    record = json.loads(path.read_text())
    record["versions"] = {"bnlint": "0.0.1", "torch": "2.6.0"}
    path.write_text(json.dumps(record))
    code, text = verify(run, "folded.pth", *WEIGHTS)
    assert (code, "0.0.1" in text) == (0, False), text
    state = torch.load("folded.pth")
    _scale(state)
    torch.save(state, "folded.pth")
    code, text = verify(run, "folded.pth", *WEIGHTS)
    assert code == 1, text
    assert "It was folded with bnlint 0.0.1, torch 2.6.0; here are bnlint" in text


def test_the_published_schema_is_that_of_the_records() -> None:
    assert (ROOT / "docs" / "fold-schema.json").read_text() == render_schema(fold_schema())


@pytest.mark.parametrize("command", ["fold", "verify"])
def test_help_needs_no_torch(command: str) -> None:
    program = (
        "import sys\nfrom bnlint.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    sys.exit(ended.code or ('torch' in sys.modules) * 77)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, command, "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Usage: bnlint {command}" in done.stdout


@pytest.mark.parametrize("form", ["TorchScript", "torch.package"])
def test_what_holds_no_python_model_is_refused_by_name(run: Run, form: str) -> None:
    if form == "TorchScript":
        torch.jit.script(models.trained()).save("program.pt")
    else:
        with PackageExporter("program.pt") as exporter:
            exporter.intern("tests.**")
            exporter.extern("torch.**")
            exporter.save_pickle("model", "model.pkl", models.trained())
    ended = run("fold", "program.pt", "--trust", "--dry-run")
    assert (ended.code, ended.out) == (2, "")
    assert form in ended.err
    assert "--trust" not in ended.err


def test_an_assumed_input_is_called_one(run: Run) -> None:
    ended = run("fold", "model.pt", "--trust", "-o", "folded.pt")
    assert ended.code == 0, ended.err
    assert "(assumed, see --input)" in " ".join(ended.out.split())
    assert json.loads(Path("folded.pt.bnlint.json").read_text())["proof"]["inputs_assumed"] is True
    assert "(assumed, see --input)" in run("verify", "folded.pt", "--against", "model.pt", "--trust").out
    assert "assumed" not in run("fold", "model.pt", "--trust", "-o", "given.pt", *SIZE).out
    assert "assumed" not in run("verify", "given.pt", "--against", "model.pt", "--trust", *SIZE).out
    assert json.loads(Path("given.pt.bnlint.json").read_text())["proof"]["inputs_assumed"] is False
