"""Refuses what is no module tree, and puts stand-ins where a module of it cannot be read."""

from __future__ import annotations

from torch import nn
from torch.jit import ScriptModule

from bnlint.artifacts.module_tree import EndlessTreeError, require_finite
from bnlint.errors import NotAnalysedError
from bnlint.tracing.live import members, named_modules
from bnlint.tracing.stand_ins import Readable, readable
from bnlint.user_objects import is_a

_OF_EVERY_MODULE = (
    "training", "_parameters", "_buffers", "_modules",
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip
"""What a call of a module reads of it, which the constructor of `nn.Module` sets."""

_HINT = "Each class must call `super().__init__()` first, and keep nothing but modules among its modules."


def sound_tree(model: nn.Module) -> Readable:
    """A model whose modules can be listed.

    Args:
        model: The model; nothing of it is run but what its classes do when an attribute is read.

    Returns:
        The model itself, or one with stand-ins where a module cannot be read.

    Raises:
        NotAnalysedError: A class did not call the constructor of `nn.Module`, or something else stands among the
            modules, or a module contains itself, or is in more places than can be listed.
    """
    for path, module in named_modules(model):
        name = path or type(module).__name__
        own = object.__getattribute__(module, "__dict__")
        absent = [part for part in _OF_EVERY_MODULE if part not in own and not hasattr(type(module), part)]
        if absent and not is_a(module, ScriptModule):
            raise NotAnalysedError(f"`{name}` is a module without `{absent[0]}`.", _HINT)
        other = next((one for one in members(module, "_modules").values() if not is_a(one, nn.Module)), None)
        if other is not None:
            raise NotAnalysedError(f"`{name}` has a {type(other).__name__} among its modules.", _HINT)
    found = readable(model)
    try:
        require_finite(found.model)
    except EndlessTreeError as error:
        raise NotAnalysedError(f"The model has a module, {error}.") from error
    return found
