"""Files of weights and of whole models, good and bad, read through the front door."""

from __future__ import annotations

import errno
import os
import pickle
import stat
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import bnlint
from bnlint.artifacts.inert.sandbox import read_inert
from bnlint.artifacts.read import read
from bnlint.artifacts.sniff import Kind
from bnlint.artifacts.stored import StoredTensor
from bnlint.errors import BnlintError, NoModelError, NotAnalysedError, UsageError
from bnlint.summary import Failure
from tests.models import ConvNet, with_plausible_statistics


class Bomb:
    """Unpickling this makes a folder: the sign that the code of a file was run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def model() -> nn.Module:
    return with_plausible_statistics(ConvNet()).eval()


def _refused(target: Path, **options: object) -> BnlintError:
    with pytest.raises(BnlintError) as caught:
        read(str(target), **options)
    assert caught.value.exit_code in {2, 3}
    assert "\n" not in str(caught.value)
    assert caught.value.cause.endswith(".")
    return caught.value


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", ["weights.pt", "weights.txt"])
def test_a_state_dict(model: nn.Module, tmp_path: Path, zipped: bool, name: str) -> None:
    torch.save(model.state_dict(), tmp_path / name, _use_new_zipfile_serialization=zipped)
    artifact = read(str(tmp_path / name))
    assert artifact.form == "state_dict"
    assert artifact.module is None
    assert artifact.tensors.keys() == model.state_dict().keys()
    assert all(torch.equal(artifact.tensors[key], value) for key, value in model.state_dict().items())


def test_a_wrapped_and_nested_checkpoint(model: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    torch.save({"epoch": 7, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, file)
    artifact = read(str(file))
    assert set(artifact.tensors) == set(model.state_dict())
    assert any("`state_dict`" in note for note in artifact.notes)
    assert any("`module.`" in note for note in artifact.notes)


def test_safetensors_reads_only_what_is_asked_for(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({f"_orig_mod.{key}": value for key, value in model.state_dict().items()}, tmp_path / "model.bin")
    asked: list[str] = []
    original = StoredTensor.as_torch
    monkeypatch.setattr(StoredTensor, "as_torch", lambda self: asked.append(self.description.storage) or original(self))
    artifact = read(str(tmp_path / "model.bin"))
    assert artifact.form == "safetensors"
    assert set(artifact.tensors) == set(model.state_dict())
    assert asked == []
    assert torch.equal(artifact.tensors["bn1.running_var"], model.bn1.running_var)
    assert asked == ["_orig_mod.bn1.running_var"]
    with pytest.raises(KeyError):
        artifact.tensors["no.such.tensor"]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("nested", [True, False], ids=["nested", "bare"])
def test_a_whole_model_is_read_as_data_and_loaded_with_trust(
    model: nn.Module, tmp_path: Path, zipped: bool, nested: bool
) -> None:
    file = tmp_path / "model.pt"
    torch.save({"epoch": 3, "model": model} if nested else model, file, _use_new_zipfile_serialization=zipped)
    artifact = read(str(file))
    assert artifact.form == "pickled_module"
    assert artifact.module is None
    assert artifact.saved is not None
    assert artifact.saved.modules[0].class_path == "tests.models.ConvNet"
    assert artifact.saved.modules[0].training is False
    assert torch.equal(artifact.tensors["bn2.running_mean"], model.bn2.running_mean)

    loaded = read(str(file), trust=True)
    assert loaded.form == "pickled_module"
    assert loaded.mode_known
    assert isinstance(loaded.module, ConvNet)
    assert not loaded.module.training
    assert torch.equal(loaded.module.bn2.running_mean, model.bn2.running_mean)


def test_a_model_of_plain_pickle(model: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(model))
    saved = read(str(file)).saved
    assert saved is not None
    assert saved.modules[0].class_path == "tests.models.ConvNet"
    assert isinstance(read(str(file), trust=True).module, ConvNet)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_hostile_checkpoint_is_not_run(model: nn.Module, tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "model.pt"
    sign = tmp_path / "was-run"
    hostile = {"state_dict": model.state_dict(), "extra": Bomb(sign)}
    torch.save(hostile, file, _use_new_zipfile_serialization=zipped)
    for trust in (False, True):  # weights need no code, whatever is allowed
        saved = read(str(file), trust=trust).saved
        assert saved is not None
        assert any(name.endswith(".mkdir") for name in saved.called)
    file.write_bytes(pickle.dumps(Bomb(sign)))
    assert "mkdir" in _refused(file).cause
    assert not sign.exists()


def test_arguments_beside_the_weights_do_not_hinder(model: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pth"
    torch.save({"model": model.state_dict(), "args": Namespace(lr=0.1)}, file)
    artifact = read(str(file))
    assert artifact.form == "state_dict"
    assert set(artifact.tensors) == set(model.state_dict())


def test_a_key_chooses_among_several(model: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pth"
    other = {name: value + 1 for name, value in model.state_dict().items()}
    torch.save({"teacher": model.state_dict(), "student": {"state_dict": other}}, file)
    refusal = _refused(file)
    assert refusal.cause.endswith("several models or sets of weights: `teacher`, `student.state_dict`.")
    assert "--key" in refusal.hint
    for key, expected in (("teacher", model.state_dict()), ("student", other), ("student.state_dict", other)):
        assert torch.equal(read(str(file), key=key).tensors["bn1.bias"], expected["bn1.bias"])
    wrong = _refused(file, key="studnet")
    assert isinstance(wrong, UsageError)
    assert "`student.state_dict`" in wrong.hint


def test_a_class_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save({"load": torch.load}, file)
    assert "not a model or its weights" in _refused(file).cause


def test_printing_while_unpickling_stays_off_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chatty_classes.py").write_text(
        "from torch import nn\nprint('imported')\nclass Chatty(nn.Module):\n"
        "    def __setstate__(self, state):\n        print('unpickled')\n        super().__setstate__(state)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import chatty_classes

    torch.save(chatty_classes.Chatty(), "model.pt")
    capsys.readouterr()
    assert read("model.pt", trust=True).module is not None
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "unpickled" in streams.err


def test_a_class_that_cannot_be_found(model: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(model, protocol=2).replace(b"tests.models", b"tests.absent"))
    refusal = _refused(file, trust=True)
    assert "ModuleNotFoundError: No module named 'tests.absent'" in refusal.cause
    assert refusal.hint


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors", "pickle"])
def test_a_truncated_file(model: nn.Module, tmp_path: Path, form: str, trust: bool, share: float) -> None:
    file = tmp_path / "model.pt"
    if form == "safetensors":
        save_file(model.state_dict(), file)
    elif form == "pickle":
        file.write_bytes(pickle.dumps(model.state_dict()))
    else:
        torch.save(model.state_dict(), file, _use_new_zipfile_serialization=form == "zip")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    refusal = _refused(file, trust=trust)
    assert isinstance(refusal, NotAnalysedError)
    assert "cut short" in refusal.cause


def test_an_exported_program_is_recognised(model: nn.Module, tmp_path: Path) -> None:
    torch.export.save(torch.export.export(model, (torch.zeros(1, 3, 8, 8),)), tmp_path / "program.pt2")
    artifact = read(str(tmp_path / "program.pt2"))
    assert artifact.form == "exported_program"
    assert artifact.program is not None


def test_saved_objects_that_are_no_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    for value, words in (({"a": "b"}, "`dict`"), ([1], "`list`"), (torch.zeros(3), "a bare tensor")):
        torch.save(value, file)
        assert words in _refused(file).cause
        assert words in _refused(file, trust=True).cause


def test_no_file_and_no_import_string(tmp_path: Path) -> None:
    for target in ("absent.pt", "models/absent", "", "a b:c", "x" * 5000, "nul\0byte"):
        with pytest.raises(UsageError, match="neither an existing file nor an import string"):
            read(target)


def test_files_that_are_no_files(tmp_path: Path) -> None:
    assert "is a folder" in _refused(tmp_path).cause
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in _refused(tmp_path / "pipe").cause
    (tmp_path / "empty.pt").touch()
    assert "is empty" in _refused(tmp_path / "empty.pt").cause
    (tmp_path / "lfs.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n")
    assert "git lfs pull" in _refused(tmp_path / "lfs.pt").hint


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret.pt"
    file.write_bytes(b"\x80\x02N.")
    file.chmod(0)
    if os.access(file, os.R_OK):  # the superuser may read everything

        def deny(*args: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", deny)
    assert "permission denied" in _refused(file).cause
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, deny)
    assert _refused(tmp_path).cause == f"`{tmp_path}` may not be read: permission denied."


@pytest.mark.parametrize("kind", [Kind.TORCH_ZIP, Kind.TORCH_LEGACY, Kind.PICKLE])
def test_a_file_that_vanishes_before_it_is_read(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(NotAnalysedError, match=r"^`x` is cut short or damaged: No such file or directory\."):
        read_inert(tmp_path / "x", "x", kind)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_while_values_are_read(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"bn.running_var": torch.ones(3)}, tmp_path / "x.safetensors")
    artifact = read(str(tmp_path / "x.safetensors"))
    assert artifact.saved is not None
    (tensor,) = artifact.saved.tensors.values()

    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number), "/somewhere/else")

    monkeypatch.setattr("bnlint.artifacts.stored.read_values", fail)
    with pytest.raises(NotAnalysedError, match=f"cannot be read: {os.strerror(number)}\\."):
        tensor.values()


def test_a_safetensors_file_without_tensors(tmp_path: Path) -> None:
    save_file({}, tmp_path / "none.safetensors")
    assert "not a single tensor" in _refused(tmp_path / "none.safetensors").cause


def test_options_that_make_no_sense_for_a_file(model: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(model.state_dict(), file)
    for options in ({"weights": str(file)}, {"kwargs": {"width": 2}}):
        with pytest.raises(UsageError):
            read(str(file), **options)


def test_weights_for_a_pickled_model(model: nn.Module, tmp_path: Path) -> None:
    torch.save(ConvNet().eval(), tmp_path / "model.pt")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    artifact = read(str(tmp_path / "model.pt"), weights=str(tmp_path / "weights.pt"), trust=True)
    assert artifact.mode_known
    assert artifact.module is not None
    assert torch.equal(artifact.module.bn1.running_mean, model.bn1.running_mean)


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "dangling.pt").symlink_to("nowhere.pt")
    with pytest.raises(NotAnalysedError, match="a link to a file that is not there"):
        read(str(tmp_path / "dangling.pt"))


def test_what_is_no_model_and_calls_anything_is_not_passed_over(tmp_path: Path) -> None:
    torch.save(Bomb(tmp_path / "made"), tmp_path / "bomb.pt")
    with pytest.raises(NotAnalysedError, match=r"Loading `.*bomb\.pt` would call `posix\.mkdir`") as caught:
        read(str(tmp_path / "bomb.pt"))
    assert not isinstance(caught.value, NoModelError)
    (found,) = bnlint.check_files(tmp_path)
    assert isinstance(found, Failure)
    assert found.exit_code == 3
    assert not (tmp_path / "made").exists()
