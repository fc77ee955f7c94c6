"""The graph of a `torch.export.ExportedProgram`, with the same roles, layers and calls as a recorded one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from bnlint.tracing.inputs import Inputs
from bnlint.tracing.kinds import How, NormKind, Role, kind_by_name
from bnlint.tracing.roles import operator_name, operator_role
from bnlint.tracing.source import location_of_call
from bnlint.tracing.trace import NormCall, Trace

_KINDS = {
    "batch_norm": NormKind.BATCH,
    "_native_batch_norm_legit": NormKind.BATCH,
    "_native_batch_norm_legit_functional": NormKind.BATCH,
    "_native_batch_norm_legit_no_training": NormKind.BATCH,
    "native_batch_norm": NormKind.BATCH,
    "_batch_norm_with_update": NormKind.BATCH,
    "_batch_norm_no_update": NormKind.BATCH,
    "cudnn_batch_norm": NormKind.BATCH,
    "instance_norm": NormKind.INSTANCE,
    "layer_norm": NormKind.LAYER,
    "native_layer_norm": NormKind.LAYER,
    "group_norm": NormKind.GROUP,
    "native_group_norm": NormKind.GROUP,
    "rms_norm": NormKind.RMS,
}


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
        node.meta["val"] = _of_example(node.meta.get("val"))
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


def _of_example(value: Any) -> Any:
    """A value with the sizes of the example that the program was exported with, in place of dynamic ones.

    Args:
        value: A fake tensor, a symbolic number, or a structure of them.

    Returns:
        The value; `None` for what has a size that depends on the values of the input.
    """
    if isinstance(value, (list, tuple)):
        return type(value)(map(_of_example, value))
    if isinstance(value, torch.SymInt):
        return value.node.hint
    if not isinstance(value, Tensor) or all(isinstance(size, int) for size in value.shape):
        return value
    sizes = [_of_example(size) for size in value.shape]
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
    kind = kind_of_operator(node)
    if kind is None:
        return None
    arguments = _arguments(node)
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
        uses_batch_statistics=_uses_batch(operator_name(node.target), arguments),
        arguments=arguments,
        location=location_of_call(node),
    )


def kind_of_operator(node: fx.Node) -> NormKind | None:
    """The kind of normalisation that a call in an exported program does; `None` where it does none."""
    if node.op != "call_function":
        return None
    return NormKind.INSTANCE if _is_decomposed_instance_norm(node) else _KINDS.get(operator_name(node.target))


def _is_decomposed_instance_norm(node: fx.Node) -> bool:
    """Whether a call is what `run_decompositions()` makes of an InstanceNorm.

    That is a BatchNorm of (N, C, …) viewed as (1, N·C, …), with its tensors repeated for each sample, so that it says
    nothing of a batch. torch notes on it which function of `torch` was called, and keeps the note in files.
    """
    is_batch_norm = _KINDS.get(operator_name(node.target)) is NormKind.BATCH
    return is_batch_norm and str((node.meta.get("torch_fn") or ("",))[-1]).endswith(".instance_norm")


def _arguments(node: fx.Node) -> dict[str, Any]:
    schema = getattr(node.target, "_schema", None)
    names = [argument.name for argument in schema.arguments] if schema is not None else []
    arguments = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    if _is_decomposed_instance_norm(node):
        return {name: _given(value) for name, value in arguments.items()}
    return arguments


def _given(value: Any) -> Any:
    """What an InstanceNorm was given, before its decomposition viewed or repeated it."""
    is_changed = isinstance(value, fx.Node) and operator_name(value.target) in ("view", "reshape", "repeat")
    return value.args[0] if is_changed else value


def _attribute(argument: object) -> str:
    """Name of the parameter or buffer that an argument is; empty for any other."""
    return str(argument.meta.get("attribute", "")) if isinstance(argument, fx.Node) else ""


def layer_of_operator(node: fx.Node) -> tuple[str, bool]:
    """Path of the layer that calls a normalisation operator, by its tensors, else by the module stack.

    Args:
        node: The call. Its arguments have their `attribute` in their `meta`, where they are one.

    Returns:
        The path, and whether it is that of a normalisation layer, rather than of a module that calls a function.
    """
    arguments = _arguments(node)
    for name in ("running_mean", "weight"):
        tensor = arguments.get(name)
        path, _, own_name = _attribute(tensor).rpartition(".")
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


def _uses_batch(name: str, arguments: Mapping[str, Any]) -> bool | None:
    if name == "instance_norm":
        return bool(arguments.get("use_input_stats", True))
    if _KINDS[name] is not NormKind.BATCH:
        return True
    if "no_training" in name or "no_update" in name:
        return False
    if name == "_batch_norm_with_update":
        return True
    return bool(arguments.get("training", False)) or arguments.get("running_mean") is None


def tensors_of_call(call: NormCall, attributes: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors that a normalisation call of an exported graph reads, by argument name."""
    found = {}
    for name in ("running_mean", "running_var", "weight", "bias"):
        node = call.arguments.get(name)
        target = node.meta.get("attribute") if isinstance(node, fx.Node) else None
        value = attributes.get(target) if isinstance(target, str) else None
        if isinstance(value, Tensor):
            found[name] = value
    return found
