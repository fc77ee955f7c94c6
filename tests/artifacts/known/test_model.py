"""Models of known code against the live objects that were saved, and against what `torch.load` makes of the file."""

from __future__ import annotations

import enum
import functools
from collections import OrderedDict
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import bnlint
import tests.torchvision_ops  # noqa: F401 - before torchvision and timm
from bnlint.artifacts.read import read
from bnlint.errors import NotAnalysedError
from bnlint.facts.vocabulary import vocabulary
from tests.artifacts.known.pickles import Name, module, tensor, write
from tests.models import ConvNet, with_plausible_statistics

timm = pytest.importorskip("timm")

FORMS = {"zip": {}, "older": {"_use_new_zipfile_serialization": False}, "protocol 4": {"pickle_protocol": 4}}
MODELS = {
    "sequential": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), (), "2x3x8x8"),
    "repvgg_a0": (lambda: timm.create_model("repvgg_a0"), ("timm",), "2x3x64x64"),
    "levit_128s": (lambda: timm.create_model("levit_128s"), ("timm",), "2x3x224x224"),
}


class Mode(enum.Enum):
    FAST = "fast"


@dataclass
class Settings:
    rate: float
    mode: Mode


class Unusual(nn.Module):
    """Keeps one of everything that models keep."""

    def __init__(self) -> None:
        super().__init__()
        self.make = functools.partial(nn.LayerNorm, eps=1e-6)
        self.pool = functools.partial(functional.max_pool2d_with_indices, kernel_size=2)
        self.kind = nn.BatchNorm2d
        self.functions = [torch.relu, functional.gelu, functional.silu]
        self.names = OrderedDict(b=(1, 2), a={"nested": [None, 2.5]})
        self.sizes = torch.Size([1, 2]), torch.float16, torch.device("cpu"), slice(1, None)
        self.settings = Settings(0.5, Mode.FAST)
        self.chosen = {1, 2}
        self.offsets = {(0, 1): 2, 3: None}
        self.rates = [numpy.float64(0.1), numpy.float32(0.25), numpy.int64(-3), numpy.bool_(True), numpy.float16(2)]
        self.outside = torch.arange(3.0)
        self.bn = nn.BatchNorm2d(3)
        self.again = self.bn
        self.owner = [self]
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.second.bias.requires_grad_(False)
        self.register_buffer("table", torch.arange(4), persistent=False)
        self.lstm = nn.LSTM(3, 3, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.bn(images)


def known(model: nn.Module, path: Path, *allow: str, **options: Any) -> nn.Module:
    torch.save(model, path, **options)
    artifact = read(str(path), allow=allow)
    assert artifact.not_live == ""
    assert artifact.module is not None
    return artifact.module


@pytest.mark.parametrize("form", FORMS)
def test_everything_that_models_keep(form: str, tmp_path: Path) -> None:
    made: Any = known(Unusual().eval(), tmp_path / "model.pt", "tests", **FORMS[form])
    loaded: Any = torch.load(tmp_path / "model.pt", weights_only=False)
    assert type(made) is Unusual
    assert str(made) == str(loaded)
    plain = ("kind", "functions", "names", "sizes", "settings", "chosen", "training", "rates", "offsets")
    assert {name: getattr(made, name) for name in plain} == {name: getattr(loaded, name) for name in plain}
    assert type(made.names) is OrderedDict
    assert (made.make.func, made.make.keywords) == (nn.LayerNorm, {"eps": 1e-6})
    assert made.pool.func is functional.max_pool2d_with_indices
    assert made.again is made.bn
    assert made.owner == [made]
    assert made.second.weight is made.first.weight
    assert made.lstm._flat_weights[0] is made.lstm.weight_ih_l0
    assert torch.equal(made.outside, loaded.outside)
    assert made._non_persistent_buffers_set == {"table"}
    for own, expected in (
        (made.state_dict(), loaded.state_dict()),
        (dict(made.named_buffers()), dict(loaded.named_buffers())),
    ):
        assert list(own) == list(expected)
        assert all(torch.equal(own[name], expected[name]) for name in own)
    assert {name for name, parameter in made.named_parameters() if not parameter.requires_grad} == {"second.bias"}


@pytest.mark.parametrize("name", MODELS)
def test_the_facts_are_those_of_the_live_model(name: str, tmp_path: Path) -> None:
    make, allow, size = MODELS[name]
    live = with_plausible_statistics(make()).eval()
    torch.save(live, tmp_path / "model.pt")
    expected = bnlint.inspect(live, inputs=(size,))
    found = bnlint.inspect(tmp_path / "model.pt", inputs=(size,), allow=allow)
    assert found.available == expected.available
    assert [record.layer for record in found.norms] == [record.layer for record in expected.norms]
    for record, other in zip(found.norms, expected.norms, strict=True):
        for field in fields(other):
            if field.name != "location" or name != "sequential":
                assert getattr(record, field.name) == getattr(other, field.name), (record.layer, field.name)
    for fact in set(vocabulary(type(expected.model))) - {"form", "calls_on_loading"}:
        assert getattr(found.model, fact) == getattr(expected.model, fact), fact


def test_training_flags_are_those_of_the_file(tmp_path: Path) -> None:
    model = ConvNet().eval()
    model.bn2.train()
    torch.save(model, tmp_path / "model.pt")
    report = bnlint.check(tmp_path / "model.pt", allow="tests", inputs=("1x3x8x8",), select="BN102")
    assert report.coverage.graph == "recorded"
    assert [finding.layers for finding in report.findings] == [("bn2",)]


def test_a_model_in_a_checkpoint_and_in_a_wrapper(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "ema": nn.DataParallel(nn.Sequential(nn.BatchNorm1d(3)))}, tmp_path / "model.pt")
    artifact = read(str(tmp_path / "model.pt"))
    assert type(artifact.module) is nn.Sequential
    assert artifact.mode_known


def test_writing_into_the_model_leaves_the_file(tmp_path: Path) -> None:
    made = known(nn.Sequential(nn.Linear(2, 2)), tmp_path / "model.pt")
    before = (tmp_path / "model.pt").read_bytes()
    with torch.no_grad():
        made[0].weight.fill_(7)
    assert (tmp_path / "model.pt").read_bytes() == before
    assert made.state_dict()["0.weight"].unique().tolist() == [7]


def test_attributes_that_torch_added_later_are_filled_in(tmp_path: Path) -> None:
    conv = module(
        Name("torch.nn.modules.conv", "Conv2d"),
        _parameters={"weight": tensor(1, (1, 1, 1, 1), (1, 1, 1, 1)), "bias": None},
        in_channels=1, out_channels=1, kernel_size=(1, 1), stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1,
        transposed=False, output_padding=(0, 0), _reversed_padding_repeated_twice=[0, 0, 0, 0],
    )  # fmt: skip
    artifact = read(str(write(tmp_path / "model.pt", conv, b"\0\0\0\x40")))
    assert artifact.module is not None
    assert artifact.module.padding_mode == "zeros"
    assert artifact.module._non_persistent_buffers_set == set()
    assert artifact.module(torch.full((1, 1, 1, 1), 3.0)).item() == 6


def test_a_model_with_a_function_of_a_package_that_is_not_admitted(tmp_path: Path) -> None:
    model = nn.Sequential(nn.ReLU())
    model[0].helper = with_plausible_statistics
    torch.save(model, tmp_path / "model.pt")
    refused = read(str(tmp_path / "model.pt"))
    assert refused.module is None
    assert (
        refused.not_live
        == "Not traced: `0.helper` holds `tests.models.with_plausible_statistics`, which is not known code."
    )
    assert refused.not_live in refused.notes
    assert read(str(tmp_path / "model.pt"), allow="tests").module is not None


def test_what_keeps_a_model_from_being_traced_is_named(tmp_path: Path) -> None:
    torch.save(ConvNet(), tmp_path / "foreign.pt")
    torch.save(torch.fx.symbolic_trace(nn.Sequential(nn.ReLU())), tmp_path / "graph.pt")
    report = bnlint.check(tmp_path / "foreign.pt")
    (note,) = report.coverage.notes
    assert note.startswith("Not traced: classes from `tests` are not known code; `--allow tests` lets bnlint import")
    assert all("`--allow tests`" in item.remedy for item in report.not_run if item.code == "BN201")
    for packages in ((), ("tests",)):
        artifact = read(str(tmp_path / "graph.pt"), allow=packages)
        assert artifact.module is None
        assert "the forward of a GraphModule is code in the file" in artifact.not_live


def test_other_weights_for_a_model_that_is_not_live(tmp_path: Path) -> None:
    torch.save(ConvNet(), tmp_path / "model.pt")
    torch.save(ConvNet().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(NotAnalysedError, match="`--allow tests`"):
        read(str(tmp_path / "model.pt"), weights=str(tmp_path / "weights.pth"))
    artifact = read(str(tmp_path / "model.pt"), weights=str(tmp_path / "weights.pth"), allow=("tests",))
    assert artifact.weights_form == "state_dict"
