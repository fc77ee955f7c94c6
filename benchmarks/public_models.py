"""Every public model of timm with a BatchNorm, and of torchvision, without weights."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from unittest import mock

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnlint.norms.classes import norm_kind
from tests import torchvision_ops  # noqa: F401  (before torchvision and timm)


@dataclass(frozen=True)
class PublicModel:
    """A model that a package offers by name.

    Attributes:
        name: Name within the package.
        family: Module of the package that defines it.
        build: Makes it with randomly initialised weights, on the device of the context.
    """

    name: str
    family: str
    build: Callable[[], nn.Module]

    def without_weights(self) -> nn.Module:
        """The model in evaluation mode with its parameters on the meta device.

        Raises:
            Exception: Whatever its constructor raises.
        """
        try:
            with torch.device("meta"):
                return self.build().eval()
        except (RuntimeError, NotImplementedError):  # the constructor reads values
            with parameters_on_meta():
                return self.build().eval()


@contextlib.contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Moves each parameter to the meta device as soon as a module registers it; buffers keep their values."""
    register = nn.Module.register_parameter

    def register_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
        register(module, name, parameter)

    with mock.patch.object(nn.Module, "register_parameter", register_on_meta):
        yield


def batch_norms(model: nn.Module) -> frozenset[str]:
    """Paths of the BatchNorm layers of a model, told by class alone, apart from what bnlint thinks."""
    return frozenset(
        path
        for path, module in model.named_modules()
        if isinstance(module, _BatchNorm) or type(module).__name__ == "FrozenBatchNorm2d"
    )


def all_norms(model: nn.Module) -> frozenset[str]:
    """Paths of all normalisation layers of a model."""
    return frozenset(path for path, module in model.named_modules() if norm_kind(module) is not None)


def compiled_operators_load() -> bool:
    """Whether torchvision's compiled operators, such as `nms`, can be called."""
    from torchvision.extension import _has_ops

    return bool(_has_ops())


def timm_models(pattern: str) -> Iterator[PublicModel]:
    """The models of timm that fit a shell pattern, by name."""
    import timm

    for name in timm.list_models(pattern):
        family = timm.model_entrypoint(name).__module__.rpartition(".")[2]
        yield PublicModel(name, f"timm {family}", partial(timm.create_model, name))


def torchvision_models(pattern: str) -> Iterator[PublicModel]:
    """The classification, segmentation, detection, video and optical-flow models of torchvision, by name."""
    from torchvision import models

    groups = {
        "classification": models,
        "segmentation": models.segmentation,
        "detection": models.detection,
        "video": models.video,
        "optical flow": models.optical_flow,
    }
    for group, module in groups.items():
        backbone = {"weights_backbone": None} if group in {"segmentation", "detection"} else {}
        for name in fnmatch.filter(models.list_models(module=module), pattern or "*"):
            yield PublicModel(name, f"torchvision {group}", partial(models.get_model, name, **backbone))
