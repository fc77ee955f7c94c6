"""Regions that the recorder sees only from outside: `torch.vmap`, TorchScript, packed quantised modules."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._functorch import apis

from bnlint.tracing.live import tensors


class ScriptStandIn(nn.Module):
    """Takes the place of a TorchScript module in a structural copy; a run never reaches the user's own."""

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.__dict__["script"] = script
        self.training = script.training

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["script"], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run a copy: a scripted BatchNorm in training mode would move its statistics."""
        return copy.deepcopy(self.__dict__["script"])(*args, **kwargs)


def runs_on_values_only(module: nn.Module) -> bool:
    """Whether the code of a leaf module is compiled for real tensors."""
    return isinstance(module, ScriptStandIn) or str(type(module).__module__).startswith(
        ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
    )


@contextlib.contextmanager
def vmap_as_one_call(
    emit: Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any], None],
) -> Iterator[None]:
    """Report each `torch.vmap` as one call, not the calls inside it, whose tensors have no identity outside.

    Args:
        emit: Takes the function of the call, its arguments, keyword arguments and result.
    """
    original: Callable[..., Any] = apis.vmap_impl  # type: ignore[attr-defined]

    def reported(*args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():
            result = original(*args, **kwargs)
            emit(original, args, kwargs, result)
        return result

    with mock.patch.object(apis, "vmap_impl", reported):
        yield


def original_callable(function: Any, originals: dict[int, Any]) -> Any:
    """A function or module of the structural copy, as the user's own."""
    if isinstance(function, types.MethodType):
        owner = originals.get(id(function.__self__))
        return function if owner is None else types.MethodType(function.__func__, owner)
    return originals.get(id(function), function)


def held_tensors(value: object) -> Iterator[Tensor]:
    """The tensors that a function, a module or a container of them can reach, and so may read."""
    pending, seen = [value], set()
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, nn.Module):
            yield from tensors(item)
        elif isinstance(item, types.MethodType):
            pending += [item.__self__, item.__func__]
        elif isinstance(item, functools.partial):
            pending += [item.func, *item.args, *item.keywords.values()]
        elif isinstance(item, types.FunctionType):
            pending += [*_closed_over(item), *(item.__defaults__ or ()), *(item.__kwdefaults__ or {}).values()]
        elif isinstance(item, (list, tuple, set)):
            pending += item
        elif isinstance(item, dict):
            pending += item.values()


def _closed_over(function: types.FunctionType) -> list[object]:
    values = inspect.getclosurevars(function)
    return [*values.nonlocals.values(), *values.globals.values()]
