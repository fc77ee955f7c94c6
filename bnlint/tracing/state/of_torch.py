"""What torch keeps for a process, or for a thread of it."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, Final

import torch
from torch._tensor_str import PRINT_OPTS
from torch.nn.modules import module as module_hooks
from torch.utils import _device, deterministic
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack, _pop_mode, _push_mode

from bnlint.tracing.state.entry import Entry, always, are_others

_DEVICES: Final = ("cpu", "cuda")
_FILLS: Final = "fill_uninitialized_memory"
_CUDNN: Final = ("enabled", "benchmark", "benchmark_limit", "deterministic", "allow_tf32")
_GLOBAL_HOOKS: Final = tuple(
    name for name, value in vars(module_hooks).items() if name.endswith("hooks") and isinstance(value, dict)
)
_GUARDS: Final[list[object]] = []
"""What holds a mode that code of a model has left switched over; it must never be deleted."""


def _device_state() -> tuple[Any, Any]:
    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None), _device.CURRENT_DEVICE


def _to_device(before: tuple[Any, Any]) -> None:
    torch._GLOBAL_DEVICE_CONTEXT.device_context, _device.CURRENT_DEVICE = before


def _function_modes() -> tuple[Any, ...]:
    return tuple(torch._C._get_function_stack_at(at) for at in range(torch._C._len_torch_function_stack()))


def _to_function_modes(before: tuple[Any, ...]) -> None:
    while torch._C._len_torch_function_stack():
        torch._C._pop_torch_function_stack()
    for mode in before:
        torch._C._push_on_torch_function_stack(mode)


def _dispatch_modes() -> tuple[Any, ...]:
    return tuple(_get_current_dispatch_mode_stack())


def _to_dispatch_modes(before: tuple[Any, ...]) -> None:
    while _get_current_dispatch_mode_stack():
        _pop_mode()
    for mode in before:
        _push_mode(mode)


def _to_inference_mode(before: bool) -> None:
    guard = torch.inference_mode(before)
    guard.__enter__()
    _GUARDS.append(guard)


def _autocast() -> list[tuple[bool, torch.dtype]]:
    return [(torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in _DEVICES]


def _to_autocast(before: list[tuple[bool, torch.dtype]]) -> None:
    for device, (enabled, dtype) in zip(_DEVICES, before, strict=True):
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)


def _autocast_depth() -> int:
    depth = torch.autocast_increment_nesting()
    torch.autocast_decrement_nesting()
    return depth


def _to_autocast_depth(before: int) -> None:
    while _autocast_depth() > before:
        torch.autocast_decrement_nesting()
    while _autocast_depth() < before:
        torch.autocast_increment_nesting()


def _to_interop_threads(before: int) -> None:
    with contextlib.suppress(RuntimeError):  # torch takes it once, and not after work has begun
        torch.set_num_interop_threads(before)


def _deterministic() -> tuple[bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        getattr(deterministic, _FILLS),
    )


def _to_deterministic(before: tuple[bool, bool, bool]) -> None:
    torch._C._set_deterministic_algorithms(before[0], warn_only=before[1])
    inductor: Any = sys.modules.get("torch._inductor.config")  # torch's own function would import it
    if hasattr(inductor, "deterministic"):
        inductor.deterministic = before[0]
    setattr(deterministic, _FILLS, before[2])


def _cudnn() -> tuple[Any, ...]:
    return tuple(getattr(torch.backends.cudnn, name) for name in _CUDNN)


def _to_cudnn(before: tuple[Any, ...]) -> None:
    for name, value in zip(_CUDNN, before, strict=True):
        setattr(torch.backends.cudnn, name, value)


def _hooks() -> list[dict[Any, Any]]:
    return [dict(getattr(module_hooks, name)) for name in _GLOBAL_HOOKS]


def _to_hooks(before: list[dict[Any, Any]]) -> None:
    for name, hooks in zip(_GLOBAL_HOOKS, before, strict=True):
        own = getattr(module_hooks, name)
        own.clear()
        own.update(hooks)


def _has_drawn(before: torch.Tensor, after: torch.Tensor) -> bool:
    return not torch.equal(before, after)


def _cuda_random() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]


ENTRIES: Final = (
    Entry("the default data type", torch.get_default_dtype, torch.set_default_dtype),
    Entry("the number of threads", torch.get_num_threads, torch.set_num_threads),
    Entry("the number of threads between operations", torch.get_num_interop_threads, _to_interop_threads),
    Entry("deterministic algorithms", _deterministic, _to_deterministic),
    Entry("settings of cuDNN", _cudnn, _to_cudnn),
    Entry("the precision of float32 products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    Entry("whether warnings are repeated", torch.is_warn_always_enabled, torch.set_warn_always),
    Entry("print options", lambda: dict(vars(PRINT_OPTS)), lambda before: vars(PRINT_OPTS).update(before)),
    Entry("hooks on all modules", _hooks, _to_hooks),
    Entry(
        "the detection of anomalies",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda before: torch.set_anomaly_enabled(*before),
    ),
    Entry("autocast", _autocast, _to_autocast),
    Entry("the cache of autocast", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    Entry("the depth of autocast", _autocast_depth, _to_autocast_depth),
    Entry("the random state of torch", torch.get_rng_state, torch.set_rng_state, _has_drawn, is_random=True),
    Entry("the random states of GPUs", _cuda_random, torch.cuda.set_rng_state_all, always, is_random=True),
    Entry("gradients", torch.is_grad_enabled, torch._C._set_grad_enabled),
    Entry("inference mode", torch.is_inference_mode_enabled, _to_inference_mode),
    Entry("the default device", _device_state, _to_device),
    Entry("modes of dispatch", _dispatch_modes, _to_dispatch_modes, are_others),
    Entry("modes of torch's functions", _function_modes, _to_function_modes, are_others),
)
"""In the order of reading; the last is put back first, since a mode that is left on may change what others do."""
