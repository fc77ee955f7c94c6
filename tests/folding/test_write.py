from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from safetensors.torch import load_file
from torch import nn

from bnlint.errors import NotAnalysedError
from bnlint.folding import place, write
from bnlint.folding.fold import fold
from bnlint.folding.place import put, staged
from bnlint.folding.record import FoldRecord, beside, read_record, record_fold
from bnlint.folding.write import Form, form_for, write_files
from bnlint.reporters.schema import fold_schema
from tests.folding.models import shared, trained, with_function


def folded(model: nn.Module) -> tuple[nn.Module, FoldRecord]:
    result = fold(model, ("2x3x8x8",))
    assert result.verified
    return result.model, record_fold(result, target="some/where/model.pt", model=type(model).__name__)


def write_folded(model: nn.Module, output: Path, form: Form, record: FoldRecord, *, replace: bool = True) -> FoldRecord:
    with staged(output) as files:
        written = write_files(model, output, files, form, record)
        put(files, output, replace=replace)
    return written


OF_MODULES = [form for form in Form if form is not Form.PROGRAM]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("output", "source", "form"),
    [
        ("a.safetensors", "pickled_module", Form.SAFETENSORS),
        ("a.safetensors", "state_dict", Form.SAFETENSORS),
        ("a.SafeTensors", "module", Form.SAFETENSORS),
        ("a.pt", "pickled_module", Form.MODULE),
        ("a.bin", "module", Form.MODULE),
        ("a.pth", "state_dict", Form.STATE_DICT),
        ("a.pt", "safetensors", Form.STATE_DICT),
        ("a.weights", "safetensors", Form.SAFETENSORS),
        ("a", "state_dict", Form.STATE_DICT),
        ("a.pt2", "module", Form.PROGRAM),
        ("a", "exported_program", Form.PROGRAM),
        ("a.safetensors", "exported_program", Form.SAFETENSORS),
    ],
)
def test_the_suffix_and_the_input_choose_the_form(output: str, source: str, form: Form) -> None:
    assert form_for(Path(output), source) is form


@pytest.mark.parametrize("form", OF_MODULES)
def test_what_is_written_is_what_was_folded(tmp_path: Path, form: Form) -> None:
    model, record = folded(trained())
    write_folded(model, tmp_path / "out", form, record)
    if form is Form.SAFETENSORS:
        read: Any = load_file(tmp_path / "out")
    else:
        read = torch.load(tmp_path / "out", weights_only=form is Form.STATE_DICT)
    state = read.state_dict() if form is Form.MODULE else read
    expected = model.state_dict()
    assert list(state) == list(expected) or (form is Form.SAFETENSORS and set(state) == set(expected))
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_the_record_has_the_hash_of_the_file_and_follows_its_schema(tmp_path: Path) -> None:
    model, record = folded(trained())
    written = write_folded(model, tmp_path / "out.pt", Form.STATE_DICT, record)
    document = json.loads((tmp_path / "out.pt.bnlint.json").read_text())
    Draft202012Validator(fold_schema()).validate(document)
    assert document["folded"] == {
        "name": "out.pt",
        "sha256": hashlib.sha256((tmp_path / "out.pt").read_bytes()).hexdigest(),
    }
    assert [fold["layer"] for fold in document["folds"]] == ["bn1", "bn2"]
    assert [fold["into"] for fold in document["folds"]] == [["conv1"], ["conv2"]]
    assert document["proof"]["verified"] is True
    assert document["target"] == "model.pt"
    assert str(tmp_path) not in (tmp_path / "out.pt.bnlint.json").read_text()
    assert read_record(tmp_path / "out.pt") == written


@pytest.mark.parametrize("form", OF_MODULES)
def test_the_same_fold_gives_the_same_bytes(tmp_path: Path, form: Form) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        model, record = folded(trained())
        write_folded(model, tmp_path / name / "out", form, record)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_tied_weights_fit_safetensors(tmp_path: Path) -> None:
    model, record = folded(shared())
    write_folded(model, tmp_path / "out", Form.SAFETENSORS, record)
    state = load_file(tmp_path / "out")
    assert torch.equal(state["first.weight"], state["second.weight"])
    assert [kept.layer for kept in record.kept] == ["bn"]


def test_channels_last_weights_fit_safetensors(tmp_path: Path) -> None:
    model, record = folded(trained())
    weight = model.get_submodule("conv2").weight
    write_folded(model.to(memory_format=torch.channels_last), tmp_path / "out", Form.SAFETENSORS, record)  # type: ignore[call-overload]
    assert torch.equal(load_file(tmp_path / "out")["conv2.weight"], weight)  # type: ignore[arg-type]


def test_a_link_stays_and_its_file_keeps_its_permissions(tmp_path: Path) -> None:
    model, record = folded(trained())
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "model.pt", tmp_path / "link.pt"
    real.write_bytes(b"old")
    real.chmod(0o600)
    link.symlink_to(real)
    write_folded(model, link, Form.STATE_DICT, record)
    assert link.is_symlink()
    assert set(torch.load(real)) == set(model.state_dict())
    assert real.stat().st_mode & 0o777 == 0o600
    assert read_record(link) is not None


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("module", "step"), [(write, "_flush"), (place, "_replace")])
@pytest.mark.parametrize("exists", [False, True])
def test_a_failing_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str, exists: bool
) -> None:
    model, record = folded(trained())
    if exists:
        (tmp_path / "out.pt").write_bytes(b"old")
        beside(tmp_path / "out.pt").write_bytes(b"old record")
    before = contents(tmp_path)
    monkeypatch.setattr(module, step, no_space)
    with pytest.raises(NotAnalysedError, match="No space left on device"):
        write_folded(model, tmp_path / "out.pt", Form.MODULE, record)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("form", OF_MODULES)
@pytest.mark.parametrize("exists", [False, True])
def test_a_disk_that_is_full_half_way_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form, exists: bool
) -> None:
    model, record = folded(trained())
    if exists:
        (tmp_path / "out").write_bytes(b"old")
    before = contents(tmp_path)
    opened = Path.open

    def limited(path: Path, *arguments: Any) -> Any:
        stream = opened(path, *arguments)
        if arguments != ("x+b",):
            return stream

        class Limited(io.BytesIO):
            def write(self, data: Any) -> int:
                stream.write(memoryview(data)[:100])
                stream.flush()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return Limited()

    monkeypatch.setattr(Path, "open", limited)
    with pytest.raises(NotAnalysedError, match="cannot be written: No space left on device"):
        write_folded(model, tmp_path / "out", form, record)
    monkeypatch.undo()
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("free", "fits"), [(0, False), (2 << 20, True)])
def test_space_is_looked_for_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
) -> None:
    model, record = folded(trained())
    monkeypatch.setattr(write.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    if fits:
        write_folded(model, tmp_path / "out.pt", Form.MODULE, record)
        return
    monkeypatch.setattr(Path, "open", None)  # nothing is begun
    with pytest.raises(NotAnalysedError, match=r"There is no space for `.*out\.pt`: it takes .* and 0\.0 MiB are free"):
        write_folded(model, tmp_path / "out.pt", Form.MODULE, record)
    assert contents(tmp_path) == {}


def test_an_interruption_between_the_two_files_leaves_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, record = folded(trained())
    move = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if target.name == "out.pt":
            raise KeyboardInterrupt
        return move(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folded(model, tmp_path / "out.pt", Form.MODULE, record)
    assert contents(tmp_path) == {}


def test_a_model_that_cannot_be_pickled(tmp_path: Path) -> None:
    model, record = folded(with_function())
    with pytest.raises(NotAnalysedError, match=r"cannot be saved.*\.safetensors"):
        write_folded(model, tmp_path / "out.pt", Form.MODULE, record)
    assert contents(tmp_path) == {}
    write_folded(model, tmp_path / "out.safetensors", Form.SAFETENSORS, record)
    assert set(load_file(tmp_path / "out.safetensors")) == set(model.state_dict())


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "bnlint-fold-v2"}', "[1]", "\xff"])
def test_what_is_no_record_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "out.pt.bnlint.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(NotAnalysedError, match=r"`out.pt.bnlint.json` is no record"):
        read_record(tmp_path / "out.pt")


def test_no_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "out.pt") is None
