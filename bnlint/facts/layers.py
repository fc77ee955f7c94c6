"""The normalisation layers of a target: from the module tree, or from the names in a state_dict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import SyncBatchNorm

from bnlint.artifacts.artifact import Artifact
from bnlint.facts.statistics import NormTensors
from bnlint.tracing.kinds import NormKind
from bnlint.tracing.norms import norm_kind


@dataclass(frozen=True)
class NormLayer:
    """A normalisation layer that the target holds, called or not.

    Attributes:
        path: Path of the layer.
        kind: Kind of normalisation.
        module: The live layer, where there is one.
        tensors: Its tensors.
    """

    path: str
    kind: NormKind
    module: nn.Module | None
    tensors: NormTensors


def find_layers(artifact: Artifact) -> dict[str, NormLayer]:
    """The normalisation layers of an artifact by path, in model order.

    A state_dict shows a BatchNorm layer by its running mean and variance; a layer without them cannot be told there.
    """
    if artifact.module is None:
        return _from_names(artifact.tensors)
    layers = {}
    for path, module in artifact.module.named_modules():
        kind = norm_kind(module)
        if kind is not None:
            layers[path] = NormLayer(path, kind, module, tensors_of(module))
    return layers


def tensors_of(module: nn.Module) -> NormTensors:
    """The tensors of a live normalisation layer."""
    names = ("running_mean", "running_var", "weight", "bias", "num_batches_tracked")
    values = {name: getattr(module, name, None) for name in names}
    return NormTensors(**{name: value for name, value in values.items() if isinstance(value, Tensor)})


def _from_names(tensors: Mapping[str, Tensor]) -> dict[str, NormLayer]:
    layers = {}
    for name in tensors:
        path, _, last = name.rpartition(".")
        if last != "running_mean":
            continue
        prefix = f"{path}." if path else ""
        if f"{prefix}running_var" not in tensors:
            continue
        group = {
            part: tensors[prefix + part]
            for part in ("running_mean", "running_var", "weight", "bias", "num_batches_tracked")
            if prefix + part in tensors
        }
        layers[path] = NormLayer(path, NormKind.BATCH, None, NormTensors(**group))
    return layers


def spatial_dims(module: nn.Module) -> int | None:
    """The 1, 2 or 3 of BatchNorm1d, 2d, 3d and their relatives; `None` where the class does not fix it."""
    if isinstance(module, SyncBatchNorm):
        return None
    for base in type(module).__mro__:
        for dims in (1, 2, 3):
            if base.__name__.endswith(f"Norm{dims}d"):
                return dims
    return None


def configuration(module: nn.Module) -> dict[str, Any]:
    """Momentum and eps of a live layer, by field name of `NormFacts`; absent where the layer has none."""
    found: dict[str, Any] = {}
    momentum = getattr(module, "momentum", None)
    found["momentum"] = momentum if isinstance(momentum, (int, float)) else None
    eps = next(
        (
            value
            for name in ("eps", "epsilon", "variance_epsilon")
            if (value := getattr(module, name, None)) is not None
        ),
        None,
    )
    found["eps"] = float(eps) if isinstance(eps, (int, float)) else None
    return found
