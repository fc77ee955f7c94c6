"""What the inert reader says of files that torch wrote, against the live objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

import tests.torchvision_ops  # noqa: F401 - before timm
from bnlint.artifacts.inert.contents import Contents, Entry
from bnlint.artifacts.inert.sandbox import read_inert
from bnlint.artifacts.inert.tree import SavedModule
from bnlint.artifacts.sniff import Kind
from bnlint.artifacts.stored import StoredTensor
from tests.models import with_plausible_statistics

timm = pytest.importorskip("timm")

FORMS = {
    "zip": (Kind.TORCH_ZIP, {}),
    "older": (Kind.TORCH_LEGACY, {"_use_new_zipfile_serialization": False}),
}


def network() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.BatchNorm2d(4, momentum=0.03),
        nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, affine=False)),
        nn.LayerNorm(4),
    )
    with_plausible_statistics(model).eval()
    model[2][1].train()
    return model


def saved(value: Any, folder: Path, form: str, protocol: int = 2) -> tuple[Path, Contents]:
    kind, options = FORMS[form]
    path = folder / "model.pt"
    torch.save(value, path, pickle_protocol=protocol, **options)
    return path, read_inert(path, "model.pt", kind)


def values(contents: Contents, path: Path, module: SavedModule, name: str) -> numpy.ndarray:
    tensor = module.tensors[name]
    region = contents.regions.get(tensor.storage)
    return StoredTensor(tensor, path, "model.pt", region, contents.little_endian).values()


def assert_same(model: nn.Module, entry: Entry, contents: Contents, path: Path) -> None:
    live = dict(model.named_modules())
    assert [module.path for module in entry.modules] == list(live)
    for module in entry.modules:
        expected = live[module.path]
        assert module.class_path == f"{type(expected).__module__}.{type(expected).__qualname__}"
        assert module.training is expected.training
        own = dict(expected.named_parameters(recurse=False)) | dict(expected.named_buffers(recurse=False))
        assert list(module.tensors) == list(own)
        for name, tensor in own.items():
            description = module.tensors[name]
            assert description.parameter == isinstance(tensor, nn.Parameter)
            assert description.requires_grad == tensor.requires_grad
            assert numpy.array_equal(values(contents, path, module, name), tensor.detach().numpy())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("protocol", range(1, 6))  # torch.save cannot write protocol 0: its persistent ids are tuples
def test_a_whole_model_reads_as_it_is(form: str, protocol: int, tmp_path: Path) -> None:
    model = network()
    path, contents = saved(model, tmp_path, form, protocol)
    (entry,) = contents.entries
    assert entry.key == ""
    assert_same(model, entry, contents, path)
    batch_norm = entry.modules[2]
    assert batch_norm.attributes["momentum"] == 0.03
    assert batch_norm.attributes["eps"] == 1e-5


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "levit_128s", "repvgg_a0"])
def test_published_models_read_as_they_are(name: str, tmp_path: Path) -> None:
    model = with_plausible_statistics(timm.create_model(name))
    path, contents = saved(model, tmp_path, "zip")
    assert_same(model, contents.entries[0], contents, path)


def test_models_and_weights_inside_a_checkpoint_have_their_keys(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    checkpoint = {
        "epoch": 3,
        "model": model,
        "ema": {"module": {"state_dict": model.state_dict()}},
        "optimizer": optimizer.state_dict(),
    }
    _, contents = saved(checkpoint, tmp_path, "zip")
    assert [(entry.key, bool(entry.modules)) for entry in contents.entries] == [
        ("model", True),
        ("ema.module.state_dict", False),
    ]
    weights = contents.entries[1]
    assert list(weights.tensors) == list(model.state_dict())
    assert weights.versions["1"] == 2  # a BatchNorm, as its metadata notes
    assert weights.versions["3"] == 1


@pytest.mark.parametrize(
    ("wrap", "wrappers"),
    [
        (nn.DataParallel, ("DataParallel",)),
        (torch.compile, ("OptimizedModule",)),
        (lambda model: nn.DataParallel(torch.compile(model)), ("DataParallel", "OptimizedModule")),
        (torch.optim.swa_utils.AveragedModel, ("AveragedModel",)),
    ],
)
def test_wrappers_are_taken_off(wrap: Any, wrappers: tuple[str, ...], tmp_path: Path) -> None:
    _, contents = saved(wrap(network()), tmp_path, "zip")
    (entry,) = contents.entries
    assert entry.wrappers == wrappers
    assert entry.modules[2].class_path == "torch.nn.modules.batchnorm.BatchNorm2d"
    assert entry.modules[2].path == "1"


def test_a_graph_module_is_a_module_tree_too(tmp_path: Path) -> None:
    traced = torch.fx.symbolic_trace(network())
    _, contents = saved(traced, tmp_path, "zip")
    (entry,) = contents.entries
    assert entry.modules[0].class_path == "torch.fx.graph_module.GraphModule"
    assert {module.path for module in entry.modules if "BatchNorm" in module.class_path} == {"1", "2.1"}


def test_a_shared_layer_is_one_module(tmp_path: Path) -> None:
    layer = nn.BatchNorm2d(4)
    _, contents = saved(nn.Sequential(layer, nn.ReLU(), layer), tmp_path, "zip")
    assert [module.path for module in contents.entries[0].modules] == ["", "0", "1"]


def test_hooks_are_named(tmp_path: Path) -> None:
    model = network()
    model[1].register_forward_hook(torch.nn.functional.relu)
    _, contents = saved(model, tmp_path, "zip")
    assert contents.entries[0].modules[2].hooks == ("torch.nn.functional.relu",)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.int64]
)
def test_every_data_type_is_read_right(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.linspace(-3, 3, 24).reshape(4, 6).to(dtype)
    path, contents = saved({"whole": tensor, "part": tensor.t()[1:4, ::2]}, tmp_path, "zip")
    for name, expected in (("whole", tensor), ("part", tensor.t()[1:4, ::2])):
        description = contents.entries[0].tensors[name]
        stored = StoredTensor(description, path, "model.pt", contents.regions[description.storage])
        assert numpy.array_equal(stored.values(), expected.to(torch.float64).numpy())
        assert stored.as_torch().dtype == dtype
        assert torch.equal(stored.as_torch().to(torch.float64), expected.to(torch.float64))


def test_a_model_on_the_meta_device_has_shapes_and_no_values(tmp_path: Path) -> None:
    _, contents = saved(nn.BatchNorm2d(4, device="meta"), tmp_path, "zip")
    tensor = contents.entries[0].modules[0].tensors["running_mean"]
    assert tensor.shape == (4,)
    assert tensor.storage == ""


def test_what_is_no_model_is_described(tmp_path: Path) -> None:
    _, contents = saved([torch.ones(2, 3)], tmp_path, "zip")
    assert contents.entries == ()
    assert contents.holds == "a `list`"
    _, contents = saved(torch.ones(2, 3), tmp_path, "zip")
    assert contents.holds == "a bare tensor of shape 2x3"
