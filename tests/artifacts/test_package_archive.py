"""Archives of `torch.package`, against the models that went in."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from torch.package import PackageExporter

from bnlint.artifacts.package_archive import read_package_archive
from bnlint.errors import NotAnalysedError
from tests.artifacts.judge import judge
from tests.models import with_plausible_statistics

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")


def network() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=0.03), nn.LayerNorm(4))
    return with_plausible_statistics(model).eval()


def packaged(folder: Path, **objects: Any) -> Path:
    path = folder / "model.pt"
    with PackageExporter(str(path)) as exporter:
        exporter.extern("**")
        for name, value in objects.items():
            exporter.save_pickle(name, "model.pkl", value)
    return path


def test_a_model_is_read_as_it_is(tmp_path: Path) -> None:
    model = network()
    found = read_package_archive(packaged(tmp_path, net=model), "model.pt")
    assert found.form == "package"
    assert [module.class_path.rpartition(".")[2] for module in found.modules] == [
        "Sequential", "Conv2d", "BatchNorm2d", "LayerNorm",
    ]  # fmt: skip
    assert found.modules[2].attributes["momentum"] == 0.03
    assert found.modules[2].training is False
    weights = model.state_dict()
    assert sorted(found.tensors) == sorted(weights)
    for name, tensor in weights.items():
        assert numpy.array_equal(found.tensors[name].values(), tensor.numpy())


def test_a_graph_module_is_read_too(tmp_path: Path) -> None:
    traced = torch.fx.symbolic_trace(network())
    found = read_package_archive(packaged(tmp_path, net=traced), "model.pt")
    assert [module.path for module in found.modules] == ["", "0", "1", "2"]
    assert found.modules[0].class_path == "torch.fx.graph_module.Sequential"


def test_several_pickles_are_chosen_by_name(tmp_path: Path) -> None:
    path = packaged(tmp_path, student=network(), teacher=network().double(), notes={"epoch": 3})
    with pytest.raises(NotAnalysedError, match="several models"):
        read_package_archive(path, "model.pt")
    found = read_package_archive(path, "model.pt", "teacher/model.pkl")
    assert found.tensors["1.running_var"].dtype == "float64"


def test_a_package_of_code_alone_says_so(tmp_path: Path) -> None:
    path = tmp_path / "code.pt"
    with PackageExporter(str(path)) as exporter:
        exporter.save_source_string("net", "raise SystemExit('run')")
    with pytest.raises(NotAnalysedError, match="holds Python code and no pickle"):
        read_package_archive(path, "code.pt")


class Calls:
    def __init__(self, canary: Path) -> None:
        self.command = f"touch {canary}"

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


class Persistent(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return ("reduce_package", 1, os.system, (obj.command,)) if isinstance(obj, Calls) else None


def test_nothing_in_a_package_is_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    plain, persistent = tmp_path / "plain.pt", tmp_path / "persistent.pt"
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("p/net/model.pkl", pickle.dumps(Calls(canary)))
        archive.writestr("p/net/__init__.py", f"open({str(canary)!r}, 'w')")
        archive.writestr("p/.data/extern_modules", "os\n")
    with zipfile.ZipFile(persistent, "w") as archive, archive.open("p/net/model.pkl", "w") as stream:
        Persistent(stream, 2).dump(Calls(canary))
    answers = judge([("package", plain), ("package", persistent)])
    assert all("posix.system" in answer or "nt.system" in answer for answer in answers)
    assert not canary.exists()
