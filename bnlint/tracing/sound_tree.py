"""Refuses what is no module tree: nothing else about such a model could be told."""

from __future__ import annotations

import torch
from torch import nn

from bnlint.artifacts.module_tree import EndlessTreeError, require_finite
from bnlint.artifacts.user_code import first_line
from bnlint.errors import NotAnalysedError

_OF_EVERY_MODULE = (
    "training", "_parameters", "_buffers", "_modules",
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip
"""What a call of a module reads of it, which the constructor of `nn.Module` sets."""

_HINT = "Each class must call `super().__init__()` first, and keep methods such as `modules()` and `parameters()`."


def require_sound_tree(model: nn.Module) -> None:
    """Refuse a model whose modules PyTorch itself cannot list.

    Args:
        model: The model; nothing of it is run.

    Raises:
        NotAnalysedError: A class did not call the constructor of `nn.Module`, or something else stands among the
            modules, parameters or buffers or for the methods that list them, or a module contains itself, or is in
            more places than can be listed.
    """
    try:
        modules = dict(model.named_modules())
        for listed in (model.modules, model.children, model.parameters, model.buffers):
            tuple(listed())
    except Exception as error:  # what stands there may be anything
        cause = f"The modules of the model cannot be listed: {type(error).__name__}: {first_line(error)}."
        raise NotAnalysedError(cause, _HINT) from error
    for path, module in modules.items():
        absent = [name for name in _OF_EVERY_MODULE if name not in vars(module) and not hasattr(type(module), name)]
        if absent and not isinstance(module, torch.jit.ScriptModule):
            raise NotAnalysedError(f"`{path or type(module).__name__}` is a module without `{absent[0]}`.")
    try:
        require_finite(model)
    except EndlessTreeError as error:
        raise NotAnalysedError(f"The model has a module, {error}.") from error
