"""What the loader of a file would call is sorted by how much it could do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import bnlint
import tests.torchvision_ops  # noqa: F401 - before timm
from bnlint.artifacts.saved import Saved
from bnlint.facts.file_calls import file_calls
from tests.models import ConvNet, with_plausible_statistics

timm = pytest.importorskip("timm")


@pytest.mark.parametrize(
    ("name", "powerful", "foreign"),
    [
        ("os.system", True, False),
        ("posix.system", True, False),
        ("builtins.eval", True, False),
        ("builtins.exec", True, False),
        ("torch.hub.load", True, False),
        ("builtins.getattr", False, True),
        ("mycompany.config.Settings", False, True),
        ("builtins.set", False, False),
        ("torch._utils._rebuild_tensor_v2", False, False),
        ("collections.OrderedDict", False, False),
        ("osmosis.Model", False, True),  # a name that only begins like a powerful one
    ],
)
def test_names_are_sorted(name: str, powerful: bool, foreign: bool) -> None:
    calls = file_calls(Saved("state_dict", (), {}, called=(name,)))
    assert bool(calls["powerful_calls"]) is powerful
    assert bool(calls["foreign_calls"]) is foreign


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "levit_128s", "vit_tiny_patch16_224"])
def test_published_models_call_nothing_worth_a_word(name: str, tmp_path: Path) -> None:
    model = timm.create_model(name)
    torch.save(model, tmp_path / "model.pt")
    torch.save(
        {"model": model.state_dict(), "optimizer": torch.optim.AdamW(model.parameters()).state_dict()},
        tmp_path / "last.pt",
    )
    for file in ("model.pt", "last.pt"):
        table = bnlint.inspect(tmp_path / file)
        assert table.model.powerful_calls == frozenset()
        assert table.model.foreign_calls == frozenset()


def test_a_class_of_the_model_itself_is_not_foreign(tmp_path: Path) -> None:
    torch.save(nn.Sequential(Own()), tmp_path / "model.pt")
    assert bnlint.inspect(tmp_path / "model.pt").model.foreign_calls == frozenset()


def test_everything_that_loading_would_call_is_listed(tmp_path: Path) -> None:
    torch.save({"model": nn.Sequential(Own()), "lr": Setting()}, tmp_path / "model.pt")
    model = bnlint.inspect(tmp_path / "model.pt").model
    own = {f"{Own.__module__}.Own", f"{Setting.__module__}.Setting", "torch.nn.modules.container.Sequential"}
    rebuilt = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_tensor_v2"}
    assert own | rebuilt <= model.calls_on_loading
    assert {name.partition(".")[0] for name in model.calls_on_loading - own} <= {"torch", "collections", "builtins"}
    assert model.foreign_calls == {f"{Setting.__module__}.Setting"}
    assert bnlint.inspect(nn.Sequential(Own())).model.calls_on_loading == frozenset()


def test_what_loading_a_file_of_weights_would_call_is_told_too(tmp_path: Path) -> None:
    weights = with_plausible_statistics(ConvNet()).state_dict()
    torch.save({"state_dict": weights, "log": Command()}, tmp_path / "weights.pt")
    report = bnlint.check("tests.models:ConvNet", weights=tmp_path / "weights.pt", select="BN004")
    assert [finding.code for finding in report.findings] == ["BN004"]
    save_file(weights, tmp_path / "weights.safetensors")
    assert bnlint.check("tests.models:ConvNet", weights=tmp_path / "weights.safetensors", select="BN004").ok


def test_a_class_of_a_model_that_was_not_chosen_is_not_foreign(tmp_path: Path) -> None:
    torch.save({"model": nn.Sequential(), "ema": nn.Sequential(Own())}, tmp_path / "model.pt")
    assert bnlint.inspect(tmp_path / "model.pt", key="model").model.foreign_calls == frozenset()


def test_names_from_a_file_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bnlint.cli.main import cli

    name = b"evil\x1b[2J\x1b[31m"
    tensor = b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\n(K\x02t(K\x01t\x89tR"
    call = b"c" + name + b"\n" + name + b"\n)R"
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02}(X\x01\x00\x00\x00w" + tensor + b"X\x01\x00\x00\x00x" + call + b"u.")
    cli.main(["check", str(path), "--format", "full", "--fail-on", "never"], standalone_mode=False)
    shown = capsys.readouterr()
    assert "BN005" in shown.out
    assert "\x1b" not in shown.out + shown.err


class Own(nn.BatchNorm1d):
    def __init__(self) -> None:
        super().__init__(4)


class Setting:
    pass


class Command:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("echo unpickled",)
