"""Which modules of a recorded run stand in the graph as one call, and which are looked into."""

from __future__ import annotations

from torch import nn

from bnlint.norms.classes import has_torch_forward, is_named_norm, norm_kind
from bnlint.norms.kinds import NormKind
from bnlint.tracing.opaque import ScriptStandIn, runs_on_values_only


def is_leaf(module: nn.Module) -> bool:
    """Whether nothing inside a module is asked for: its code is torch's, or cannot be recorded.

    A class that is a normalisation by its name alone is one, too, for its arithmetic says no more than the name;
    but a BatchNorm has a mode, which only its code tells.
    """
    if runs_on_values_only(module):
        return True
    if has_torch_forward(module):
        has_children = any(name != "parametrizations" for name in module._modules)
        return isinstance(module, nn.MultiheadAttention) or not has_children
    return is_named_norm(module) and not normalises_in_its_own_way(module)


def normalises_in_its_own_way(module: nn.Module) -> bool:
    """Whether a module is a BatchNorm whose code is not torch's, and that has no children."""
    if norm_kind(module) is not NormKind.BATCH or isinstance(module, ScriptStandIn):
        return False
    return not has_torch_forward(module) and not module._modules


def wrapped_module(module: nn.Module) -> nn.Module | None:
    """The module inside a wrapper that only forwards to it on one device."""
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return module._modules["module"]
    return module._modules.get("_orig_mod") if type(module).__name__ == "OptimizedModule" else None
