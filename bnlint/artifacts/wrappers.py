"""Modules and functions that only forward to what they wrap."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import nn

WRAPPERS: Final = {
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.optim.swa_utils.AveragedModel": "module",
}
"""Modules that only hold another one, and the name under which they do."""


def inside_compiled(value: Any) -> Any:
    """The function or module that `torch.compile` or `torch.compiler.disable` wrapped; `None` where neither did."""
    if "torch._dynamo" not in sys.modules:
        return None
    if type(value).__name__ == "OptimizedModule":
        modules = object.__getattribute__(value, "__dict__").get("_modules")
        return modules.get("_orig_mod") if isinstance(modules, dict) else None
    if type(value) is not types.FunctionType:  # `isinstance` would ask an object of the model for its class
        return None
    own = value.__dict__
    # `functools.wraps` copies the attribute to functions around the wrapper; the wrapper itself knows its identity.
    is_wrapper = own.get("_torchdynamo_wrapper_id", id(value)) == id(value)
    return own.get("_torchdynamo_orig_callable") if is_wrapper else None


def inside_wrappers(model: nn.Module) -> nn.Module:
    """The model inside `WRAPPERS`: its names are those of its weights without theirs."""
    for _ in WRAPPERS:
        name = WRAPPERS.get(f"{type(model).__module__}.{type(model).__qualname__}")
        inner = None if name is None else object.__getattribute__(model, "__dict__").get("_modules", {}).get(name)
        if inner is None:
            break
        model = inner
    return model
