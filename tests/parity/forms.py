"""Writes a model in every form in which models are kept."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed
from torch.package.package_exporter import PackageExporter

from tests.parity.subjects import Subject

Write = Callable[[nn.Module, Tensor, Path], Path]
"""Writes a model, with what it is called with, into an empty folder, and gives the path to name."""


@dataclass(frozen=True)
class Form:
    """A form in which models are kept, and how bnlint is asked to read it.

    Attributes:
        column: The column of the parity table that says what it holds.
        form: What bnlint calls it.
        write: Writes it.
        options: Arguments of `bnlint.inspect`.
        allowed: Whether the package of the model is given as known code.
        prefix: What the form puts before the path of every layer.
        values: Whether it holds the values of tensors.
        versions: Whether it holds the versions of modules, in the metadata of a state_dict.
    """

    column: str
    form: str
    write: Write
    options: Mapping[str, Any] = field(default_factory=dict)
    allowed: bool = False
    prefix: str = ""
    values: bool = True
    versions: bool = False

    def arguments(self, subject: Subject) -> dict[str, Any]:
        """The arguments with which bnlint is asked."""
        return dict(self.options) | ({"allow": subject.packages} if self.allowed else {})


def saved(value: object, folder: Path, **options: Any) -> Path:
    torch.save(value, folder / "model", **options)
    return folder / "model"


def pickled(value: object, folder: Path, protocol: int) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of typed storages
        (folder / "model").write_bytes(pickle.dumps(value, protocol))
    return folder / "model"


def whole(**options: Any) -> Write:
    """A whole model by `torch.save`."""
    return lambda model, _, folder: saved(model, folder, **options)


def dumped(protocol: int) -> Write:
    """A whole model by `pickle.dump`."""
    return lambda model, _, folder: pickled(model, folder, protocol)


def in_checkpoint(model: nn.Module, _: Tensor, folder: Path) -> Path:
    return saved({"epoch": 1, "model": model, "loss": torch.ones(1)}, folder)


def in_data_parallel(model: nn.Module, _: Tensor, folder: Path) -> Path:
    wrapped = nn.DataParallel(model)
    return saved(wrapped.train(model.training) if model.training else _keeping_modes(wrapped), folder)


def _keeping_modes(wrapped: nn.Module) -> nn.Module:
    wrapped.training = False  # `eval()` would reach the layers of the model
    return wrapped


def packaged(model: nn.Module, _: Tensor, folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of typed storages
        with PackageExporter(str(folder / "model")) as exporter:
            exporter.extern("**")
            exporter.save_pickle("net", "model.pkl", model)
    return folder / "model"


def weights(**options: Any) -> Write:
    """A state_dict by `torch.save`."""
    return lambda model, _, folder: saved(model.state_dict(), folder, **options)


def dumped_weights(protocol: int) -> Write:
    """A state_dict by `pickle.dump`."""
    return lambda model, _, folder: pickled(model.state_dict(), folder, protocol)


def nested(model: nn.Module, _: Tensor, folder: Path) -> Path:
    optimizer = torch.optim.Adam(model.parameters())
    return saved({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, folder)


def deeply_nested(model: nn.Module, _: Tensor, folder: Path) -> Path:
    return saved({"ema": {"state_dict": model.state_dict()}}, folder)


def of_lightning(model: nn.Module, _: Tensor, folder: Path) -> Path:
    """As Lightning keeps it: the model is an attribute of a LightningModule."""
    wrapped = nn.ModuleDict({"model": model})
    checkpoint = {"state_dict": wrapped.state_dict(), "pytorch-lightning_version": "2.5.0", "global_step": 10}
    return saved(checkpoint | {"hyper_parameters": {"rate": 0.1}, "loops": {}, "callbacks": {}}, folder)


def with_prefix(prefix: str) -> Write:
    """A state_dict as a wrapper of that name gives it."""

    def write(model: nn.Module, _: Tensor, folder: Path) -> Path:
        return saved(nn.ModuleDict({prefix: model}).state_dict(), folder)

    return write


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def as_safetensors(model: nn.Module, _: Tensor, folder: Path) -> Path:
    save_file(tensors_of(model), folder / "model")
    return folder / "model"


def sharded(model: nn.Module, _: Tensor, folder: Path) -> Path:
    return _shards(model, folder, "model", "safetensors", save_file)


def sharded_bin(model: nn.Module, _: Tensor, folder: Path) -> Path:
    return _shards(model, folder, "pytorch_model", "bin", torch.save)


def _shards(model: nn.Module, folder: Path, stem: str, suffix: str, save: Callable[[Any, Path], object]) -> Path:
    """Every tensor in turn into one of two files, so that the tensors of a layer lie in both."""
    files = [f"{stem}-0000{number}-of-00002.{suffix}" for number in (1, 2)]
    tensors = tensors_of(model)
    places = {name: files[number % 2] for number, name in enumerate(tensors)}
    for file in files:
        save({name: tensors[name] for name in tensors if places[name] == file}, folder / file)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


def hugging_face(model: nn.Module, image: Tensor, folder: Path) -> Path:
    sharded(model, image, folder)
    (folder / "config.json").write_text("{}")
    return folder


def distributed(model: nn.Module, _: Tensor, folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the process group that there is none of
        save_distributed(model.state_dict(), checkpoint_id=folder / "step", no_dist=True)
    return folder / "step"


def exported(*, strict: bool) -> Write:
    def write(model: nn.Module, image: Tensor, folder: Path) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(model, (image,), strict=strict), folder / "model.pt2")
        return folder / "model.pt2"

    return write


def scripted(model: nn.Module, _: Tensor, folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(model), folder / "model")
    return folder / "model"


def traced(model: nn.Module, image: Tensor, folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.trace(copy.deepcopy(model), image, check_trace=False)  # type: ignore[no-untyped-call]
        program.load_state_dict(model.state_dict())  # tracing is a run, which moves statistics
        torch.jit.save(program, folder / "model")
    return folder / "model"


def onnx(model: nn.Module, image: Tensor, folder: Path) -> Path:
    """By the exporter of today, with nothing folded away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (image,), folder / "model", dynamo=True, external_data=False, optimize=False, verbose=False
        )
    return folder / "model"


FORMS: dict[str, Form] = {
    "known code": Form("code", "pickled_module", whole(), allowed=True),
    "known code, older form": Form("code", "pickled_module", whole(_use_new_zipfile_serialization=False), allowed=True),
    "known code, pickle.dump": Form("code", "pickled_module", dumped(4), allowed=True),
    "trusted": Form("code", "pickled_module", whole(), {"trust": True}),
    "trusted, older form": Form("code", "pickled_module", whole(_use_new_zipfile_serialization=False), {"trust": True}),
    "whole model": Form("whole", "pickled_module", whole()),
    "whole model, older form": Form("whole", "pickled_module", whole(_use_new_zipfile_serialization=False)),
    "whole model, protocol 5": Form("whole", "pickled_module", whole(pickle_protocol=5)),
    "whole model, pickle.dump": Form("whole", "pickled_module", dumped(4)),
    "whole model, pickle.dump, protocol 0": Form("whole", "pickled_module", dumped(0), values=False),
    "whole model, pickle.dump, protocol 2": Form("whole", "pickled_module", dumped(2), values=False),
    "model in a checkpoint": Form("whole", "pickled_module", in_checkpoint),
    "model in DataParallel": Form("whole", "pickled_module", in_data_parallel),
    "torch.package": Form("whole", "package", packaged),
    "state_dict": Form("weights", "state_dict", weights(), versions=True),
    "state_dict, older form": Form(
        "weights", "state_dict", weights(_use_new_zipfile_serialization=False), versions=True
    ),
    **{
        f"state_dict, pickle.dump, protocol {number}": Form(
            "weights", "state_dict", dumped_weights(number), versions=True, values=number > 2
        )
        for number in range(6)
    },
    "state_dict, older form, protocol 1": Form(
        "weights", "state_dict", weights(_use_new_zipfile_serialization=False, pickle_protocol=1), versions=True
    ),
    "nested state_dict": Form("weights", "state_dict", nested, versions=True),
    "deeply nested state_dict": Form("weights", "state_dict", deeply_nested, versions=True),
    "chosen by key": Form("weights", "state_dict", deeply_nested, {"key": "ema"}, versions=True),
    "Lightning": Form("weights", "state_dict", of_lightning, prefix="model.", versions=True),
    "state_dict of DataParallel": Form("weights", "state_dict", with_prefix("module"), versions=True),
    "state_dict of torch.compile": Form("weights", "state_dict", with_prefix("_orig_mod"), versions=True),
    "safetensors": Form("weights", "safetensors", as_safetensors),
    "sharded safetensors": Form("weights", "safetensors", sharded),
    "sharded bin": Form("weights", "state_dict", sharded_bin),
    "Hugging Face folder": Form("weights", "safetensors", hugging_face),
    "distributed checkpoint": Form("weights", "state_dict", distributed),
    "exported program": Form("program", "exported_program", exported(strict=False)),
    "exported program, strict": Form("program", "exported_program", exported(strict=True)),
    "TorchScript, scripted": Form("scripted", "torchscript", scripted),
    "TorchScript, traced": Form("traced", "torchscript", traced),
    "ONNX": Form("onnx", "onnx", onnx),
}
