"""Files to start from: one small model in every form, made when the search begins."""

from __future__ import annotations

import io
import json
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import nn
from torch.distributed.checkpoint.state_dict_saver import save
from torch.package.package_exporter import PackageExporter

from tests.artifacts.onnx_models import model_of
from tests.models import with_plausible_statistics


def network() -> nn.Module:
    """A convolution and four kinds of normalisation."""
    model = nn.Sequential(
        nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.InstanceNorm2d(2, affine=True), nn.GroupNorm(1, 2), nn.LayerNorm(2)
    )
    return with_plausible_statistics(model).eval()


def saved(value: object, **options: Any) -> bytes:
    """A file of `torch.save`."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def members(archive: bytes) -> dict[str, bytes]:
    """The members of a zip archive, without its top folder."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}


def zipped(content: Mapping[str, bytes]) -> bytes:
    """A zip archive as torch writes them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"a/{name}", data)
    return buffer.getvalue()


def checkpoints() -> list[bytes]:
    """Files of `torch.save`."""
    model = network()
    nested = {"epoch": 3, "ema": {"state_dict": model.state_dict()}, "optimizer": {"lr": 0.1}}
    return [saved(value) for value in (model, model.state_dict(), nested, torch.nn.DataParallel(model))]


def legacy() -> list[bytes]:
    """Files in the form from before torch 1.6."""
    values = (network(), network().state_dict())
    return [saved(value, _use_new_zipfile_serialization=False) for value in values]


def pickles() -> list[bytes]:
    """The pickles in checkpoints, and plain ones of all protocols."""
    inner = [members(content)["data.pkl"] for content in checkpoints()]
    return inner + [pickle.dumps(network(), protocol) for protocol in range(6)]


def layers() -> list[bytes]:
    """Plain pickles of a model of the layers that facts and folding look into."""
    model = nn.Sequential(
        nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.ConvTranspose2d(2, 2, 2),
        nn.GroupNorm(1, 2), nn.PReLU(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2), nn.BatchNorm1d(2),
        nn.Dropout(), nn.LayerNorm(2),
    )  # fmt: skip
    return [pickle.dumps(value) for value in (with_plausible_statistics(model).eval(), network())]


def safetensors() -> list[bytes]:
    """Safetensors files of several data types."""
    weights = {name: tensor.clone() for name, tensor in network().state_dict().items()}
    return [safetensors_bytes(weights), safetensors_bytes({"bn.running_var": torch.ones(4, dtype=torch.bfloat16)})]


def program() -> dict[str, bytes]:
    """The members of an exported program."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network(), (torch.zeros(2, 2, 2, 2),)), buffer)
    return members(buffer.getvalue())


def torchscript() -> dict[str, bytes]:
    """The members of a TorchScript archive."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network()), buffer)
    return members(buffer.getvalue())


def package() -> dict[str, bytes]:
    """The members of a file of `torch.package`."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with PackageExporter(buffer) as exporter:
            exporter.extern("**")
            exporter.save_pickle("net", "model.pkl", network())
    return members(buffer.getvalue())


def onnx() -> list[bytes]:
    """ONNX files."""
    return [model_of().SerializeToString(), model_of(shape=("batch", 3, "height", None)).SerializeToString()]


def distributed() -> dict[str, bytes]:
    """The files of a folder of `torch.distributed.checkpoint`."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save({"model": network().state_dict(), "step": 3}, checkpoint_id=folder, no_dist=True)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def index() -> list[bytes]:
    """Indices of shards that are all in `shard`."""
    names = list(network().state_dict())
    whole = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, "shard")}
    return [json.dumps(whole).encode(), json.dumps({"weight_map": {names[0]: "other"}}).encode()]
