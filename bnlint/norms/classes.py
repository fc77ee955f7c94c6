"""Which modules are normalisation, and of which kind."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from bnlint.norms.kinds import NormKind
from bnlint.norms.mode import uses_batch_statistics
from bnlint.norms.names import is_frozen_by_name, kind_by_name
from bnlint.norms.tensors import STATISTICS
from bnlint.user_objects import attribute, is_set

_CLASSES: Final[tuple[tuple[type[nn.Module], NormKind], ...]] = (
    (_BatchNorm, NormKind.BATCH),
    (_InstanceNorm, NormKind.INSTANCE),
    (nn.LayerNorm, NormKind.LAYER),
    (nn.GroupNorm, NormKind.GROUP),
    (nn.RMSNorm, NormKind.RMS),
    (nn.LocalResponseNorm, NormKind.LOCAL_RESPONSE),
    (nn.CrossMapLRN2d, NormKind.LOCAL_RESPONSE),
)
TORCH_CLASSES: Final = tuple(base for base, _ in _CLASSES)
"""The classes of torch, subclasses of which are told by inheritance."""

_OF_A_CALL = frozenset({"forward", "_conv_forward"})
"""The methods of a layer that do its computation."""

_BY_RANK: Final = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}

_known: dict[type, NormKind | None] = {}


def norm_kind(module: nn.Module) -> NormKind | None:
    """The kind of normalisation that a module does, `None` for any other module.

    Classes of `torch.nn` and their subclasses are told by inheritance. A class that does the arithmetic itself (a
    FrozenBatchNorm2d, an RMSNorm of a language model) is told by its name, if it has no child modules, and, for
    BatchNorm, if it keeps a running mean and a running variance.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return kind_by_name(module.original_name) if hasattr(module, "running_var") else None
    cls = vars(type(module)).get("stands_for", type(module))  # in the place of a layer that cannot be read
    if cls not in _known:
        _known[cls] = next((kind for base, kind in _CLASSES if issubclass(cls, base)), None) or kind_by_name(
            cls.__name__
        )
    kind = _known[cls]
    if kind is None or issubclass(cls, TORCH_CLASSES):
        return kind
    if module._modules or (kind is NormKind.BATCH and attribute(module, "running_var") is None):
        return None
    return kind


def is_named_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation by the name of its class alone, so that its code may do anything."""
    if isinstance(module, (torch.jit.ScriptModule, *TORCH_CLASSES)):
        return False
    return norm_kind(module) is not None


def is_frozen_batch_norm(module: nn.Module) -> bool:
    """Whether a BatchNorm normalises by its running statistics whatever its mode: it keeps its scale in buffers."""
    return (
        norm_kind(module) is NormKind.BATCH
        and not isinstance(module, _BatchNorm)
        and is_frozen_by_name(type(module).__name__)
    )


def module_uses_batch_statistics(module: nn.Module, kind: NormKind, training: bool | None = None) -> bool | None:
    """Whether a layer, in a mode, normalises by the values at hand rather than by running statistics.

    Args:
        module: The layer.
        kind: Its kind.
        training: The flag that it obeys, where that is another than its own: the code of a model may switch it, and
            TorchScript may have it as a constant.

    Returns:
        `None` for a class in eval mode that is a BatchNorm by its name alone: nothing says that its code obeys.
    """
    flag = is_set(module, "training") if training is None else training
    if is_frozen_batch_norm(module):
        return False
    if kind is NormKind.BATCH and is_named_norm(module):
        return flag or None
    statistics = any(attribute(module, name) is not None for name in STATISTICS)  # someone may delete them
    return uses_batch_statistics(kind, training=flag, statistics=statistics)


def has_torch_forward(module: nn.Module) -> bool:
    """Whether the code of `forward` is PyTorch's own, so that a subclass adds nothing to the computation."""
    if isinstance(module, torch.jit.ScriptModule) or has_replaced_forward(module):
        return False
    forward = type(module).forward
    return str(attribute(forward, "__module__")).startswith(("torch.nn.", "torch.ao.nn."))


def has_replaced_forward(module: nn.Module) -> bool:
    """Whether the code that computes was set on the layer itself (`layer.forward = …`), past its class."""
    return not _OF_A_CALL.isdisjoint(vars(module))


def computes_by_hand(module: nn.Module) -> bool:
    """Whether a class does the arithmetic of normalisation in Python rather than in a kernel of PyTorch."""
    return not isinstance(module, (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm))


def batch_norm_of_rank(rank: int) -> type[_BatchNorm] | None:
    """The class of torch for values of a rank; `None` where there is none."""
    return _BY_RANK.get(rank)
