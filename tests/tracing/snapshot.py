"""Everything about a model and the process that looking at the model must leave as it was."""

from __future__ import annotations

import inspect
import random
from typing import Any

import numpy
import torch
from torch import Tensor, nn

_HOOKS = tuple(name for name in vars(nn.Module()) if name.endswith("hooks"))


def snapshot(model: nn.Module) -> dict[str, Any]:
    """A description that is equal before and after, exactly if nothing changed."""
    state: dict[str, Any] = {"process": process_state()}
    for path, module in model.named_modules():
        state[path, "identity"] = (
            id(module),
            type(module),
            id(inspect.getattr_static(type(module), "forward")),
            module.training,
        )
        state[path, "hooks"] = [list(getattr(module, name).items()) for name in _HOOKS]
        state[path, "attributes"] = {
            name: describe(value, 0) for name, value in vars(module).items() if name not in _HOOKS
        }
    return state


def process_state() -> dict[str, Any]:
    """Random generators, modes and defaults."""
    kind, keys, position, *rest = numpy.random.get_state()
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": (kind, keys.tolist(), position, rest),
        "random": random.getstate(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "modes": torch._C._len_torch_function_stack(),
        "call": nn.Module.__call__,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def describe(value: Any, depth: int) -> Any:
    """A value by identity and by content, also inside containers and plain objects."""
    if isinstance(value, Tensor):
        return tensor_state(value)
    if isinstance(value, nn.Module) or depth > 5:
        return id(value)
    if isinstance(value, dict):
        return id(value), [(key, describe(item, depth + 1)) for key, item in value.items()]
    if isinstance(value, (list, tuple, set)):
        return id(value), [describe(item, depth + 1) for item in value]
    if hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        return id(value), describe(vars(value), depth + 1)
    return id(value)


def tensor_state(tensor: Tensor) -> Any:
    known = (id(tensor), tensor.device, tensor.dtype, tensor.requires_grad)
    if isinstance(tensor, (nn.UninitializedParameter, nn.UninitializedBuffer)):
        return known
    gradient = None if tensor.grad is None else tensor_state(tensor.grad)
    values = None if tensor.is_meta else tensor.detach().numpy().tobytes()
    return (*known, tensor.shape, tensor.stride(), tensor.data_ptr(), tensor._version, gradient, values)
