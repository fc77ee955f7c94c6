"""Which modules and functions are normalisation, and of which kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from bnlint.tracing.kinds import NormKind, kind_by_name
from bnlint.tracing.live import attribute
from bnlint.tracing.stand_ins import StandIn

_CLASSES: tuple[tuple[type[nn.Module], NormKind], ...] = (
    (_BatchNorm, NormKind.BATCH),
    (_InstanceNorm, NormKind.INSTANCE),
    (nn.LayerNorm, NormKind.LAYER),
    (nn.GroupNorm, NormKind.GROUP),
    (nn.RMSNorm, NormKind.RMS),
    (nn.LocalResponseNorm, NormKind.LOCAL_RESPONSE),
    (nn.CrossMapLRN2d, NormKind.LOCAL_RESPONSE),
)

FUNCTIONS: dict[Callable[..., Any], NormKind] = {
    F.batch_norm: NormKind.BATCH,
    torch.batch_norm: NormKind.BATCH,
    torch.native_batch_norm: NormKind.BATCH,
    F.instance_norm: NormKind.INSTANCE,
    torch.instance_norm: NormKind.INSTANCE,
    F.layer_norm: NormKind.LAYER,
    torch.layer_norm: NormKind.LAYER,
    torch.native_layer_norm: NormKind.LAYER,
    F.group_norm: NormKind.GROUP,
    torch.group_norm: NormKind.GROUP,
    torch.native_group_norm: NormKind.GROUP,
    F.rms_norm: NormKind.RMS,
    torch.rms_norm: NormKind.RMS,
    F.local_response_norm: NormKind.LOCAL_RESPONSE,
}
"""Kind of each functional form."""

_OF_A_CALL = frozenset({"forward", "_conv_forward"})
"""The methods of a layer that do its computation."""

_known: dict[type, NormKind | None] = {}


def norm_kind(module: nn.Module) -> NormKind | None:
    """The kind of normalisation that a module does, `None` for any other module.

    Classes of `torch.nn` and their subclasses are told by inheritance. A class that does the arithmetic itself (a
    FrozenBatchNorm2d, an RMSNorm of a language model) is told by its name, if it has no child modules, and, for
    BatchNorm, if it keeps a running mean and a running variance.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return kind_by_name(module.original_name) if hasattr(module, "running_var") else None
    cls = module.stands_for if isinstance(module, StandIn) else type(module)
    if cls not in _known:
        _known[cls] = next((kind for base, kind in _CLASSES if issubclass(cls, base)), None) or kind_by_name(
            cls.__name__
        )
    kind = _known[cls]
    if kind is None or issubclass(cls, tuple(base for base, _ in _CLASSES)):
        return kind
    if module._modules or (kind is NormKind.BATCH and attribute(module, "running_var") is None):
        return None
    return kind


def is_frozen_batch_norm(module: nn.Module) -> bool:
    """Whether a BatchNorm normalises by its running statistics whatever its mode: it keeps its scale in buffers."""
    return (
        norm_kind(module) is NormKind.BATCH
        and not isinstance(module, _BatchNorm)
        and "frozen" in type(module).__name__.lower()
    )


def has_torch_forward(module: nn.Module) -> bool:
    """Whether the code of `forward` is PyTorch's own, so that a subclass adds nothing to the computation."""
    if isinstance(module, torch.jit.ScriptModule) or has_replaced_forward(module):
        return False
    forward = type(module).forward
    return str(attribute(forward, "__module__")).startswith(("torch.nn.", "torch.ao.nn."))


def has_replaced_forward(module: nn.Module) -> bool:
    """Whether the code that computes was set on the layer itself (`layer.forward = …`), past its class."""
    return not _OF_A_CALL.isdisjoint(vars(module))
