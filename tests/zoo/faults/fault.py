"""What a seeded fault is: a public model in good health, one thing done to it, and what has to be said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram
from torch.nn.modules.batchnorm import _BatchNorm

from tests import torchvision_ops  # noqa: F401  (before timm and torchvision)
from tests.models import with_plausible_statistics
from tests.zoo.healthy import healthy
from tests.zoo.sequence_models import SEQUENCE_MODELS

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")

TRAINING: Mapping[str, Any] = {"context": "training"}
RUN: Mapping[str, Any] = {"run": True}
EVERYWHERE = ("",)
"""All BatchNorm layers."""

OWN_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "deeplabv3_mobilenet_v3_large": {"weights_backbone": None},
    "deeplabv3_resnet50": {"weights_backbone": None},
}


@dataclass(frozen=True)
class Fault:
    """One fault in one model.

    Attributes:
        code: The rule that has to find it.
        base: The model: a name of torchvision or timm, or a key of `SEQUENCE_MODELS`.
        what: What was done to it, in words.
        seed: Does it, in place; or gives what takes the model's place.
        layers: Where it has to be found: paths of layers, or of modules for all BatchNorm layers inside; nothing for a
            fault of the model.
        arguments: Further arguments of `bnlint.check`.
        also: Further errors and warnings that are right to say of this model.
        values: Whether the model needs real weights, because it is run.
    """

    code: str
    base: str
    what: str
    seed: Callable[[Any], object] = field(repr=False)
    layers: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    also: frozenset[str] = frozenset()
    values: bool = False

    def model(self) -> nn.Module | ExportedProgram:
        """A new model with the fault."""
        torch.manual_seed(0)
        model = base_model(self.base, values=self.values)
        model.train(self.arguments.get("context") == "training")
        changed = self.seed(model)
        return changed if isinstance(changed, ExportedProgram) else model

    def expected(self, model: nn.Module | ExportedProgram) -> set[str]:
        """The layers at which it has to be found."""
        named = base_model(self.base).named_modules() if isinstance(model, ExportedProgram) else model.named_modules()
        norms = [path for path, layer in named if isinstance(layer, _BatchNorm)]
        inside = {
            path for path in norms for place in self.layers if f"{path}.".startswith(f"{place}." if place else "")
        }
        return inside | {place for place in self.layers if place and not any(p.startswith(place) for p in inside)}


def base_model(name: str, *, values: bool = False) -> nn.Module:
    """A model in eval mode and in good health; without `values` only its normalisation layers have weights."""
    if name in SEQUENCE_MODELS:
        return with_plausible_statistics(SEQUENCE_MODELS[name]()).eval()
    make = torchvision.models.get_model if name in torchvision.models.list_models() else timm.create_model
    if values:
        return with_plausible_statistics(make(name)).eval()
    with torch.device("meta"):
        model: nn.Module = make(name, **OWN_ARGUMENTS.get(name, {}))
    return healthy(model.eval())


def at(model: nn.Module, path: str) -> Any:
    """The module at a path."""
    return model.get_submodule(path)


def swap(model: nn.Module, path: str, make: Callable[[Any], nn.Module]) -> None:
    """Puts another module in the place of one, made from it."""
    owner, _, name = path.rpartition(".")
    setattr(at(model, owner), name, make(at(model, path)))


def norms_in(model: nn.Module, *paths: str) -> list[Any]:
    """The BatchNorm layers at or inside paths; all without a path."""
    roots = [at(model, path) for path in paths] or [model]
    return [layer for root in roots for layer in root.modules() if isinstance(layer, _BatchNorm)]


def put(layers: list[Any], **values: Any) -> None:
    """Sets attributes of layers; a number fills a tensor."""
    for layer in layers:
        for name, value in values.items():
            old = getattr(layer, name)
            if isinstance(old, torch.Tensor) and value is not None:
                old.data.fill_(value)
            else:
                setattr(layer, name, value)


def like(layer: Any, make: type[_BatchNorm] = nn.BatchNorm2d, **arguments: Any) -> Any:
    """A new BatchNorm of the same width, with plausible statistics, in the mode of the other."""
    return with_plausible_statistics(make(layer.num_features, **arguments)).train(layer.training)


def synchronised(model: nn.Module) -> nn.Module:
    """SyncBatchNorm in the place of every BatchNorm; in place, unless the model is a BatchNorm itself."""
    changed: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return changed
