"""Import strings: what they may name, and one sentence for each way in which they go wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bnlint.artifacts.read import read
from bnlint.errors import NotAnalysedError, UsageError
from tests.models import ConvNet, with_plausible_statistics

_SOURCE = """
import sys
from torch import nn

print("importing")


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.bn = nn.BatchNorm1d(width)

    @classmethod
    def wide(cls):
        return cls(64)


def make(width=4):
    print("building")
    return Net(width).eval()


def raising():
    raise ValueError("no such variant\\nand a second line")


def leaving():
    sys.exit("bye")


def needing(path):
    return Net()


def pair():
    return Net(), None


ready = Net().eval()
number = 5
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's in the current folder."""
    (tmp_path / "user_models.py").write_text(_SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "user_models", raising=False)
    return "user_models"


@pytest.mark.parametrize(
    ("name", "kwargs", "width", "training"),
    [
        ("ready", None, 4, False),
        ("Net", None, 4, True),
        ("Net", {"width": 8}, 8, True),
        ("make", {"width": 8}, 8, False),
        ("Net.wide", None, 64, True),
    ],
)
def test_what_an_import_string_may_name(
    module: str, name: str, kwargs: dict[str, int] | None, width: int, training: bool
) -> None:
    artifact = read(f"{module}:{name}", kwargs=kwargs)
    assert artifact.form == "module"
    assert artifact.mode_known
    assert artifact.module is not None
    assert artifact.module.bn.num_features == width
    assert artifact.module.training is training


@pytest.mark.parametrize(("name", "mode_known"), [("ready", True), ("Net", False), ("make", False)])
def test_with_weights_only_an_instance_has_a_mode(module: str, name: str, mode_known: bool) -> None:
    source = with_plausible_statistics(nn.Sequential(nn.BatchNorm1d(4)))
    torch.save({f"module.bn.{key}": value for key, value in source[0].state_dict().items()}, "w.pt")
    artifact = read(f"{module}:{name}", weights="w.pt")
    assert artifact.mode_known is mode_known
    assert artifact.module is not None
    assert torch.equal(artifact.module.bn.running_mean, source[0].running_mean)
    assert any("`module.`" in note for note in artifact.notes)


def test_weights_that_do_not_fit(module: str) -> None:
    torch.save(ConvNet().state_dict(), "w.pt")
    with pytest.raises(NotAnalysedError, match=r"4 keys are missing \(first `bn.weight`\), 12 keys are unexpected"):
        read(f"{module}:Net", weights="w.pt")


def test_absent_weights(module: str) -> None:
    with pytest.raises(UsageError, match=r"There is no file `absent\.pt`"):
        read(f"{module}:Net", weights="absent.pt")


def test_the_users_printing_stays_off_stdout(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    read(f"{module}:make")
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.split() == ["importing", "building"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user_models:nett", "`user_models` has no attribute `nett`. Did you mean `Net`?"),
        ("user_models:Net.wyde", "`Net` has no attribute `wyde`. Did you mean `wide`?"),
        ("user_modles:Net", "no module `user_modles`. Did you mean `user_models`?"),
        ("torch.nnn:Linear", "no module `torch.nnn`. Did you mean `torch.nn`?"),
        ("user_models.deeper:Net", "no module `user_models.deeper`."),
        ("user_models:raising", "`user_models:raising` failed: ValueError: no such variant."),
        ("user_models:leaving", "failed: SystemExit: bye."),
        ("user_models:needing", "missing 1 required positional argument: 'path'. Arguments are given by `--kwargs`."),
        ("user_models:pair", "returned a `tuple`, not an nn.Module."),
        ("user_models:number", "is a `int`, not an nn.Module"),
    ],
)
def test_wrong_import_strings(module: str, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_exception_of_a_factory_is_kept(module: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(f"{module}:raising")
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('no GPU')", "Importing `broken_models` failed: RuntimeError: no GPU."),
        ("import not_installed_here", "failed: ModuleNotFoundError: No module named 'not_installed_here'."),
        ("def broken(:", "Importing `broken_models` failed: SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported(module: str, source: str, words: str) -> None:
    Path("broken_models.py").write_text(source)
    with pytest.raises(UsageError) as caught:
        read("broken_models:Net")
    assert words in str(caught.value)


def test_kwargs_for_a_model_that_is_built_already(module: str) -> None:
    with pytest.raises(UsageError, match="takes no `--kwargs`"):
        read(f"{module}:ready", kwargs={"width": 2})


def test_installed_modules_come_before_the_current_folder(module: str) -> None:
    Path("colorsys.py").write_text("raise RuntimeError('the file of the current folder was run')")
    with pytest.raises(UsageError) as caught:
        read("colorsys:Net")
    assert "hidden by an installed module" in str(caught.value)


def test_a_module_without_a_spec_is_only_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    with pytest.raises(UsageError, match="neither an existing file nor an import string"):
        read("__main__.Model")


def test_a_script_is_named_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("myscript.py").touch()
    with pytest.raises(UsageError) as caught:
        read("myscript")
    assert caught.value.hint == "Did you mean `myscript:NAME`?"
