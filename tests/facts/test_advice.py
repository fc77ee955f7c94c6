"""What a report says would let bnlint look further: an option that does, or that none does."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import nn
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.package import PackageExporter

import bnlint
from bnlint.errors import NotAnalysedError
from tests.artifacts.onnx_models import saved as saved_onnx
from tests.artifacts.programs import GRAPH, edited, json_edit
from tests.models import ConvNet, with_plausible_statistics
from tests.tracing.proof import images

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def model() -> nn.Module:
    return with_plausible_statistics(ConvNet()).eval()


def packaged(path: Path) -> None:
    with PackageExporter(path) as exporter:
        exporter.intern("tests.**")
        exporter.extern("torch.**")
        exporter.save_pickle("model", "model.pkl", model())


def hugging_face(folder: Path) -> None:
    folder.mkdir()
    save_file(model().state_dict(), folder / "model.safetensors")


FORMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "torchscript": (lambda path: torch.jit.script(model()).save(path), "bnlint does not run TorchScript"),
    "traced": (lambda path: torch.jit.trace(model(), images()).save(path), "bnlint does not run TorchScript"),
    "package": (packaged, "bnlint does not run the code in a file of torch.package"),
    "onnx": (saved_onnx, "a program is no longer that model"),
    "state_dict": (lambda path: torch.save(model().state_dict(), path), "--weights"),
    "safetensors": (lambda path: save_file(model().state_dict(), path), "--weights"),
    "folder": (hugging_face, "--weights"),
    "checkpoint folder": (lambda path: dcp.save(model().state_dict(), checkpoint_id=path), "--weights"),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_option_is_offered_that_does_not_help(form: str, tmp_path: Path) -> None:
    save, says = FORMS[form]
    save(tmp_path / "file")
    (path,) = tmp_path.iterdir()
    remedies = {item.remedy for item in bnlint.check(path).not_run if not item.opt_in}
    assert remedies
    assert not any(option in remedy for remedy in remedies for option in ("--trust", "--allow", "--input"))
    assert any(says in remedy for remedy in remedies)


def test_a_program_says_what_trust_decides_and_what_it_does_not(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(model(), (images(),)), tmp_path / "model.pt2")
    alone = {item.code: item.remedy for item in bnlint.check(tmp_path / "model.pt2").not_run}
    offered = {code for code, remedy in alone.items() if remedy.startswith("give `--trust`, if the file is from")}
    assert offered == {"BN601", "BN602"}
    assert all("a program is no longer that model" in alone[code] for code in alone.keys() - offered)
    trusted = {item.code for item in bnlint.check(tmp_path / "model.pt2", trust=True).not_run}
    assert trusted == alone.keys() - offered


def test_a_program_that_cannot_be_loaded_is_checked_as_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.export.save(torch.export.export(model(), (images(),)), tmp_path / "whole.pt2")

    def rename(document: dict[str, Any]) -> None:
        (relu, *_) = [call for call in document["graph_module"]["graph"]["nodes"] if "relu" in call["target"]]
        relu["target"] = "torch.ops.elsewhere.relu.default"

    edited(tmp_path / "whole.pt2", tmp_path / "model.pt2", {GRAPH: json_edit(rename)})
    alone, trusted = bnlint.check(tmp_path / "model.pt2"), bnlint.check(tmp_path / "model.pt2", trust=True)
    assert [item.code for item in trusted.findings] == [item.code for item in alone.findings]
    (note,) = trusted.coverage.notes
    assert "calls `elsewhere.relu.default`, an operator of a library that is not imported here" in note
    remedies = {item.code: item.remedy for item in trusted.not_run}
    assert remedies["BN601"].endswith("the program could not be loaded")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]  # torch logs tracebacks


@pytest.mark.parametrize("form", ["state_dict", "safetensors", "folder"])
def test_what_is_said_of_weights_helps(form: str, tmp_path: Path) -> None:
    FORMS[form][0](tmp_path / "file")
    alone = bnlint.check(tmp_path / "file", select="BN2")
    assert alone.not_run
    assert all(f"--weights {tmp_path / 'file'}`" in item.remedy for item in alone.not_run)
    assert not bnlint.check("tests.models:ConvNet", weights=tmp_path / "file", select="BN2").not_run


def test_a_checkpoint_folder_is_made_a_file_first(tmp_path: Path) -> None:
    dcp.save(model().state_dict(), checkpoint_id=tmp_path / "folder")
    alone = bnlint.check(tmp_path / "folder", select="BN2")
    assert all("dcp_to_torch`, and name the model" in item.remedy for item in alone.not_run)
    dcp_to_torch_save(tmp_path / "folder", tmp_path / "file")
    assert not bnlint.check("tests.models:ConvNet", weights=tmp_path / "file", select="BN2").not_run


def test_weights_without_values_are_saved_with_them_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pickle.dumps(model().state_dict(), protocol=2))
    alone = bnlint.check(tmp_path / "file", select="BN2")
    assert alone.not_run
    assert all("as safetensors, and name the model" in item.remedy for item in alone.not_run)
    with pytest.raises(NotAnalysedError, match="holds no values of") as caught:
        bnlint.check("tests.models:ConvNet", weights=tmp_path / "file")
    assert "as safetensors" in caught.value.hint


def test_a_whole_model_names_the_package_and_that_helps(tmp_path: Path) -> None:
    torch.save(model(), tmp_path / "model.pt")
    remedies = {item.remedy for item in bnlint.check(tmp_path / "model.pt").not_run}
    assert len(remedies) == 1
    assert remedies.pop().startswith("give `--allow tests`, or `--trust`, if")
    helped = bnlint.check(tmp_path / "model.pt", allow="tests", inputs="2x3x8x8")
    assert all(item.opt_in for item in helped.not_run)


def test_a_run_that_was_asked_for_names_the_option_that_lets_it(tmp_path: Path) -> None:
    torch.save(model(), tmp_path / "model.pt")
    (asked,) = bnlint.check(tmp_path / "model.pt", run=True).unanalysed
    assert asked.startswith("There is no model to run for `--run`: give `--allow tests`")


def test_a_class_of_a_script_can_be_found_by_no_other_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Net(ConvNet):
        pass

    Net.__module__, Net.__qualname__ = "__main__", "Net"
    monkeypatch.setattr("__main__.Net", Net, raising=False)
    torch.save(Net().eval(), tmp_path / "model.pt")
    remedies = {item.remedy for item in bnlint.check(tmp_path / "model.pt").not_run}
    assert len(remedies) == 1
    assert remedies.pop().startswith("save the model with its classes in a module")


class Raising(nn.Module):
    def __init__(self, problem: Callable[[], None]) -> None:
        super().__init__()
        self.norm, self.problem = nn.BatchNorm2d(3), problem

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.problem()
        return self.norm(x)


def refuse() -> None:
    raise RuntimeError("boom")


def loop() -> None:
    while True:
        torch.zeros(1)


@pytest.mark.parametrize(
    ("problem", "options", "advice"),
    [
        (refuse, {"inputs": "2x3x8x8"}, "mend the forward, or give an input that it accepts with `--input 1x3xHxW`"),
        (refuse, {}, "give another input with `--input 1x3xHxW`"),
        (loop, {"inputs": "2x3x8x8", "timeout": 1}, "give the forward more time with `--timeout SECONDS`"),
    ],
)
def test_a_forward_that_fails_gets_advice_that_fits_its_failure(
    problem: Callable[[], None], options: dict[str, object], advice: str
) -> None:
    report = bnlint.check(with_plausible_statistics(Raising(problem)).eval(), select="BN2", **options)  # type: ignore[arg-type]
    assert report.not_run
    assert all(item.remedy.startswith(advice) for item in report.not_run)


class Drawing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x) + torch.rand(1)


def test_a_run_that_cannot_tell_says_why() -> None:
    network = with_plausible_statistics(Drawing()).eval()
    (item,) = bnlint.check(network, inputs="2x3x8x8", run=True, select="BN110").not_run
    assert item.remedy == (
        "batch dependence could not be observed: the model gives another output each time that it is run"
    )


def test_a_fact_that_is_unknown_for_no_known_reason_is_named() -> None:
    from bnlint.facts.records import FactTable, ModelFacts, NormFacts, why_unknown

    table = FactTable(
        ModelFacts(form="module", norm_layers=0, batch_norm_layers=0, graph="none", can_be_traced=True), ()
    )
    assert why_unknown(("kind",), NormFacts, table) == ""


def test_a_package_that_cannot_be_imported_is_what_stands_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "broken_package.py"
    source.write_text("from torch import nn\nclass Net(nn.Sequential): pass")
    importlib.invalidate_caches()
    net = importlib.import_module("broken_package").Net(nn.BatchNorm1d(4)).eval()
    torch.save(net, tmp_path / "model.pt")
    source.write_text("raise RuntimeError('no operators')")
    monkeypatch.delitem(sys.modules, "broken_package")
    report = bnlint.check(tmp_path / "model.pt", allow="broken_package")
    (remedy,) = {item.remedy for item in report.not_run if not item.opt_in}
    assert remedy.startswith("mend what stands in the way (")
    assert "RuntimeError: no operators" in remedy
