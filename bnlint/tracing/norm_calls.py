"""Finds the normalisation calls of a recorded graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase

from bnlint.tracing.kinds import NormKind
from bnlint.tracing.live import attribute, is_set
from bnlint.tracing.norms import FUNCTIONS, is_frozen_batch_norm, norm_kind
from bnlint.tracing.scripted import baked_training
from bnlint.tracing.source import location
from bnlint.tracing.trace import NormCall

_BATCH_NORM = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
_SIGNATURES: dict[Callable[..., Any], tuple[str, ...]] = {
    torch.batch_norm: _BATCH_NORM,
    torch.native_batch_norm: _BATCH_NORM,
    torch.instance_norm: (
        "input",
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "use_input_stats",
        "momentum",
        "eps",
    ),
    torch.layer_norm: ("input", "normalized_shape", "weight", "bias", "eps"),
    torch.native_layer_norm: ("input", "normalized_shape", "weight", "bias", "eps"),
    torch.group_norm: ("input", "num_groups", "weight", "bias", "eps"),
    torch.native_group_norm: ("input", "weight", "bias", "N", "C", "HxW", "group", "eps"),
    torch.rms_norm: ("input", "normalized_shape", "weight", "eps"),
}


@cache
def _parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    return _SIGNATURES.get(function) or tuple(inspect.signature(function).parameters)


def find_norm_calls(
    graph: fx.Graph, attributes: Mapping[str, Any], modules: Mapping[str, nn.Module], registered: frozenset[str]
) -> tuple[NormCall, ...]:
    """The normalisation calls of a graph in call order.

    Args:
        graph: A recorded graph.
        attributes: What the targets of the graph stand for.
        modules: Every module that was found by path, also those outside the module tree.
        registered: Paths of the modules in the module tree.

    Returns:
        A record for each call.
    """
    calls = []
    for node in graph.nodes:
        if node.op == "call_module":
            call = _module_call(node, attributes[node.target], registered)
        elif node.op == "call_function" and node.target in FUNCTIONS:
            call = _function_call(node, FUNCTIONS[node.target], modules, registered)
        else:
            continue
        if call is not None:
            calls.append(call)
    return tuple(calls)


def _module_call(node: fx.Node, module: nn.Module, registered: frozenset[str]) -> NormCall | None:
    kind = norm_kind(module)
    if kind is None:
        return None
    layer = node.meta["layer"]
    frame = node.meta.get("stack")
    return NormCall(
        node=node,
        input_node=_input(node.args, node.kwargs),
        layer=layer,
        kind=kind,
        module=module,
        registered=layer in registered,
        functional=False,
        uses_batch_statistics=module_uses_batch_statistics(module, kind, node.meta.get("training")),
        arguments={},
        location=location(frame) if frame else None,
    )


def module_uses_batch_statistics(module: nn.Module, kind: NormKind, training: bool | None = None) -> bool:
    """Whether a layer, in its present mode, normalises by the values at hand rather than by running statistics.

    Args:
        module: The layer.
        kind: Its kind.
        training: Its mode during the call, where the code of the model has switched it; its own flag by default.
    """
    training = is_set(module, "training") if training is None else training
    baked = baked_training(module)
    if baked is not None:
        return baked
    if not isinstance(module, _NormBase):
        if kind is NormKind.INSTANCE and attribute(module, "running_mean") is not None:  # a scripted one
            return training
        return kind is not NormKind.BATCH or (not is_frozen_batch_norm(module) and training)
    statistics = (attribute(module, name) for name in ("running_mean", "running_var"))  # someone may delete them
    return training or all(tensor is None for tensor in statistics)


def _function_call(
    node: fx.Node, kind: NormKind, modules: Mapping[str, nn.Module], registered: frozenset[str]
) -> NormCall:
    arguments = dict(zip(_parameter_names(node.target), node.args, strict=False)) | dict(node.kwargs)
    layer = _owner_of_tensors(arguments, modules) or node.meta.get("layer")
    frame = node.meta.get("stack")
    return NormCall(
        node=node,
        input_node=_input(node.args, node.kwargs),
        layer=layer if layer is not None else node.meta.get("module", ""),
        kind=kind,
        module=modules.get(layer) if layer is not None else None,
        registered=(layer if layer is not None else node.meta.get("module", "")) in registered,
        functional=layer is None,
        uses_batch_statistics=_function_uses_batch(kind, arguments),
        arguments=arguments,
        location=location(frame) if frame else None,
    )


def _owner_of_tensors(arguments: Mapping[str, Any], modules: Mapping[str, nn.Module]) -> str | None:
    """The normalisation layer whose statistics or scale a function is called with."""
    for name in ("running_mean", "weight"):
        argument = arguments.get(name)
        if isinstance(argument, fx.Node) and argument.op == "get_attr":
            owner = str(argument.target).rpartition(".")[0]
            if owner in modules and norm_kind(modules[owner]) is not None:
                return owner
    return None


def _function_uses_batch(kind: NormKind, arguments: Mapping[str, Any]) -> bool | None:
    if kind is NormKind.BATCH:
        return bool(arguments.get("training", False)) or arguments.get("running_mean") is None
    if kind is NormKind.INSTANCE:
        return bool(arguments.get("use_input_stats", True))
    return True


def _input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> fx.Node | None:
    candidate = args[0] if args else next(iter(kwargs.values()), None)
    return candidate if isinstance(candidate, fx.Node) else None
