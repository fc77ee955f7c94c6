"""The graph of a `torch.export.ExportedProgram`, with the same roles, layers and calls as a recorded one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from bnlint.norms.names import kind_by_name
from bnlint.norms.tensors import AFFINE, ARGUMENTS, STATISTICS
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.kinds import How, Role
from bnlint.tracing.operator_calls import attribute_of, kind_of_operator, norm_arguments, operator_of
from bnlint.tracing.roles import operator_role
from bnlint.tracing.source import location_of_call
from bnlint.tracing.trace import NormCall, Trace


def trace_exported(program: ExportedProgram) -> Trace:
    """Read the graph of an exported program; nothing of it is run.

    Args:
        program: A live exported program, of any dialect.

    Returns:
        A trace of how `exported`. Its graph is a copy, with the shapes of the example inputs; its attributes are the
        parameters, buffers and constants by their names in the original model.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    output = graph.graph_copy(program.graph, copies)
    graph.output(output)
    attributes = _name_inputs(program, {node.name: copies[node] for node in copies})
    return trace_of_graph(graph, attributes)


def trace_of_graph(graph: fx.Graph, attributes: Mapping[str, Any]) -> Trace:
    """Make a trace of the graph of an exported program, whether it is live or comes from a file.

    Args:
        graph: A graph of its own; the `meta` of its nodes is completed. Inputs have their `role` already, and
            `attribute` where they stand for a parameter, a buffer or a constant.
        attributes: These by name.

    Returns:
        A trace of how `exported`; not complete where a call has a graph of its own, or an unknown operator.
    """
    calls = []
    for node in graph.nodes:
        node.meta.setdefault("role", _role(node))
        node.meta["val"] = of_example(node.meta.get("val"))
        call = _norm_call(node)
        if call is not None:
            calls.append(call)
    user_inputs = Inputs(tuple(node.meta.get("val") for node in graph.nodes if node.meta["role"] is Role.INPUT))
    return Trace(
        graph=graph,
        how=How.EXPORTED,
        inputs=str(user_inputs),
        batch_size=user_inputs.batch_size,
        norm_calls=tuple(calls),
        attributes=attributes,
        complete=not any(node.meta["role"] is Role.UNKNOWN for node in graph.nodes),
    )


def of_example(value: Any) -> Any:
    """A value with the sizes of the example that the program was exported with, in place of dynamic ones.

    Args:
        value: A fake tensor, a symbolic number, or a structure of them.

    Returns:
        The value; `None` for what has a size that depends on the values of the input.
    """
    if isinstance(value, (list, tuple)):
        return type(value)(map(of_example, value))
    if isinstance(value, torch.SymInt):
        return value.node.hint
    if not isinstance(value, Tensor) or all(isinstance(size, int) for size in value.shape):
        return value
    sizes = [of_example(size) for size in value.shape]
    return None if None in sizes else torch.empty(sizes, dtype=value.dtype, device="meta")


def _name_inputs(program: ExportedProgram, nodes: Mapping[str, fx.Node]) -> dict[str, Any]:
    """Tell parameters and buffers, which an exported graph takes as inputs, from the inputs of the model."""
    attributes: dict[str, Any] = {}
    tensors = {**program.state_dict, **program.constants}
    for specification in program.graph_signature.input_specs:
        node = nodes.get(getattr(specification.arg, "name", ""))
        if node is None:
            continue
        if specification.kind is InputKind.USER_INPUT:
            node.meta["role"] = Role.INPUT
            continue
        node.meta["role"] = Role.CONSTANT
        node.meta["attribute"] = specification.target
        attributes[str(specification.target)] = tensors.get(str(specification.target))
    return attributes


def _role(node: fx.Node) -> Role:
    match node.op:
        case "placeholder" | "get_attr":
            return Role.CONSTANT
        case "output":
            return Role.OUTPUT
        case _:
            # `torch.cond`, a block under `torch.no_grad()` and their like are called with graphs of their own.
            inner = any(argument.op == "get_attr" for argument in node.all_input_nodes)
            return Role.UNKNOWN if inner else operator_role(node.target)


def _norm_call(node: fx.Node) -> NormCall | None:
    operator, kind = operator_of(node), kind_of_operator(node)
    if operator is None or kind is None:
        return None
    arguments = norm_arguments(node)
    layer, is_norm = layer_of_operator(node)
    source = arguments.get("input")
    return NormCall(
        node=node,
        input_node=source if isinstance(source, fx.Node) else None,
        layer=layer,
        kind=kind,
        module=None,
        registered=True,
        functional=not is_norm,
        uses_batch_statistics=operator.uses_batch_statistics(arguments),
        arguments=arguments,
        location=location_of_call(node),
    )


def layer_of_operator(node: fx.Node) -> tuple[str, bool]:
    """Path of the layer that calls a normalisation operator, by its tensors, else by the module stack.

    Args:
        node: The call. Its arguments have their `attribute` in their `meta`, where they are one.

    Returns:
        The path, and whether it is that of a normalisation layer, rather than of a module that calls a function.
    """
    arguments = norm_arguments(node)
    for name in (STATISTICS[0], AFFINE[0]):
        path, _, own_name = attribute_of(arguments.get(name)).rpartition(".")
        if own_name == name:  # else a tensor of another module, with which a function is called
            return path, True
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    for path, cls in reversed(stack):
        class_name = cls if isinstance(cls, str) else cls.__name__
        if kind_by_name(class_name.rpartition(".")[2]) is not None:
            return _clean(path), True
    return (_clean(stack[-1][0]) if stack else ""), False


def _clean(path: str) -> str:
    return path.removeprefix("L['self'].").removeprefix("L['self']")


def tensors_of_call(call: NormCall, attributes: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors that a normalisation call reads, by argument name, where they are attributes of the model."""
    found = {}
    for name in ARGUMENTS:
        value = attributes.get(attribute_of(call.arguments.get(name)))
        if isinstance(value, Tensor):
            found[name] = value
    return found
