"""The normalisation layers of a target: from the module tree, or from the names in a state_dict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import SyncBatchNorm, _NormBase

from bnlint.artifacts.artifact import Artifact
from bnlint.facts.live_numbers import of_tensor
from bnlint.facts.saved_layers import TENSORS, layers_of_names, stored_norm_layers
from bnlint.facts.statistics import NormTensors
from bnlint.tracing.exported import tensors_of_call
from bnlint.tracing.kinds import NormKind
from bnlint.tracing.norms import norm_kind
from bnlint.tracing.trace import Trace


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
    """The normalisation layers of an artifact by path, in model order."""
    if artifact.module is None:
        return _of_program(artifact)
    layers = {}
    for path, module in artifact.module.named_modules():
        kind = norm_kind(module)
        if kind is not None:
            layers[path] = NormLayer(path, kind, module, tensors_of(module))
    return layers


def tensors_of(module: nn.Module) -> NormTensors:
    """The tensors of a live normalisation layer."""
    return norm_tensors({name: getattr(module, name, None) for name in TENSORS})


def norm_tensors(values: Mapping[str, object]) -> NormTensors:
    """The tensors among the values of attributes or arguments, by their name in `NormTensors`."""
    return NormTensors(**{name: of_tensor(value) for name, value in values.items() if isinstance(value, Tensor)})


def _of_program(artifact: Artifact) -> dict[str, NormLayer]:
    if artifact.program is not None:
        found = stored_norm_layers(artifact.program.tensors, {})
        return {layer.path: NormLayer(layer.path, layer.kind, None, layer.tensors) for layer in found}
    return {
        layer.path: NormLayer(layer.path, layer.kind, None, norm_tensors(layer.pick(artifact.tensors)))
        for layer in layers_of_names(artifact.tensors, {})
    }


def layers_called(trace: Trace) -> dict[str, NormLayer]:
    """The layers that the calls of an ONNX graph show: the names of its weights show none, since some are shared."""
    return {
        call.layer: NormLayer(call.layer, call.kind, None, norm_tensors(tensors_of_call(call, trace.attributes)))
        for call in trace.norm_calls
        if not call.functional and not call.node.meta.get("tensors_unknown")
    }


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
    """What the attributes of a live layer say, by field name of `NormFacts`."""
    parameters = list(module.parameters(recurse=False))
    found: dict[str, Any] = {
        "synchronised": isinstance(module, SyncBatchNorm) or "sync" in type(module).__name__.lower(),
        "parameters_frozen": not any(parameter.requires_grad for parameter in parameters) if parameters else None,
    }
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


def computes_by_hand(module: nn.Module) -> bool:
    """Whether a class does the arithmetic of normalisation in Python rather than in a kernel of PyTorch."""
    return not isinstance(module, (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm))
