"""Finds the normalisation calls of a recorded graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx, nn

from bnlint.norms.classes import module_uses_batch_statistics, norm_kind
from bnlint.norms.kinds import NormKind
from bnlint.tracing.inlined import inlined_layer
from bnlint.tracing.operator_calls import kind_of_operator, norm_arguments, operator_of
from bnlint.tracing.scripted import baked_training
from bnlint.tracing.source import location
from bnlint.tracing.trace import NormCall


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
        call = None
        if node.op == "call_module":
            call = _module_call(node, attributes[node.target], registered)
        elif (kind := kind_of_operator(node)) is not None:
            call = _function_call(node, kind, modules, registered)
        if call is not None:
            calls.append(call)
    return tuple(calls)


def _module_call(node: fx.Node, module: nn.Module, registered: frozenset[str]) -> NormCall | None:
    kind = norm_kind(module)
    if kind is None:
        return None
    layer = node.meta["layer"]
    frame = node.meta.get("stack")
    baked = baked_training(module)
    uses = node.meta.get("uses_batch")  # seen in its arithmetic
    if uses is None:
        uses = module_uses_batch_statistics(module, kind, node.meta.get("training") if baked is None else baked)
    return NormCall(
        node=node,
        input_node=_input(node.args, node.kwargs),
        layer=layer,
        kind=kind,
        module=module,
        registered=layer in registered,
        functional=False,
        uses_batch_statistics=uses,
        arguments={},
        location=location(frame) if frame else None,
    )


def _function_call(
    node: fx.Node, kind: NormKind, modules: Mapping[str, nn.Module], registered: frozenset[str]
) -> NormCall:
    operator, arguments = operator_of(node), norm_arguments(node)
    owner = _owner_of_tensors(arguments, modules) or node.meta.get("layer")
    inlined = inlined_layer(arguments, modules) if owner is None else None
    if inlined is not None:
        layer, held_by = inlined
    else:
        layer = held_by = owner if owner is not None else node.meta.get("module", "")
    frame, source = node.meta.get("stack"), arguments.get("input")
    return NormCall(
        node=node,
        input_node=source if isinstance(source, fx.Node) else None,
        layer=layer,
        kind=kind,
        module=modules.get(owner) if owner is not None else None,
        registered=held_by in registered,
        functional=owner is None and inlined is None,
        uses_batch_statistics=None if operator is None else operator.uses_batch_statistics(arguments),
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


def _input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> fx.Node | None:
    candidate = args[0] if args else next(iter(kwargs.values()), None)
    return candidate if isinstance(candidate, fx.Node) else None
