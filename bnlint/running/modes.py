"""Does `eval()` stick? Asked of a copy without data, and only where code of the model's own answers."""

from __future__ import annotations

from torch import nn

from bnlint.interruption import pass_on
from bnlint.running.observations import Modes
from bnlint.tracing.copying.isolation import isolated
from bnlint.tracing.copying.structural_copy import StructuralCopy
from bnlint.tracing.copying.tensors import meta_tensor
from bnlint.tracing.live import named_modules
from bnlint.tracing.process_state import process_state_kept
from bnlint.tracing.watchdog import run_with_limit

_PATIENCE = 5.0
"""Seconds for setting flags; code of the model's own may loop."""


def observe_modes(model: nn.Module) -> Modes | None:
    """What `model.eval()` and `model.train()` do to the training flags.

    `nn.Module.train` sets the flag of every module. Where no module overrides it, nothing is run.

    Args:
        model: The model; it is not touched.

    Returns:
        The flags, or `None` where the model's own `train()` or `eval()` fails.
    """
    modules = dict(named_modules(model))
    if not any(map(_has_own_mode, modules.values())):
        return Modes(dict.fromkeys(modules, False), dict.fromkeys(modules, True), {})
    try:
        copied = StructuralCopy(model, meta_tensor)
        with process_state_kept(), isolated(copied, values=False):
            return run_with_limit(_PATIENCE, _ask, copied.module)
    except BaseException as error:
        pass_on(error)
        return None


def _ask(copied: nn.Module) -> Modes:
    modules = dict(named_modules(copied))
    copied.train()
    after_train = {path: bool(module.training) for path, module in modules.items()}
    copied.eval()
    after_eval = {path: bool(module.training) for path, module in modules.items()}
    holders = {path: _holder(modules, path) for path, training in after_eval.items() if training}
    return Modes(after_eval, after_train, holders)


def _holder(modules: dict[str, nn.Module], path: str) -> str:
    """The class of the innermost module, from the layer outwards, whose `eval()` leaves the layer in training mode."""
    layer = modules[path]
    while path in modules:
        layer.training = True
        modules[path].eval()
        if layer.training or not path:
            break
        path = path.rpartition(".")[0]
    return type(modules[path]).__name__


def _has_own_mode(module: nn.Module) -> bool:
    """Whether a class, or the object itself, replaces `train()` or `eval()`."""
    cls = type(module)
    own_class = cls.train is not nn.Module.train or cls.eval is not nn.Module.eval
    return own_class or "train" in module.__dict__ or "eval" in module.__dict__
