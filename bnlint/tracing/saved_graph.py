"""Builds a graph from an exported program in a file: the calls are those of the file, and none of them is made."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import torch
from msgspec import UNSET
from torch import fx
from torch._ops import OpOverload

from bnlint.artifacts.program_schema import (
    DTYPES,
    Argument,
    Call,
    GraphModule,
    InputSpec,
    Named,
    NamedArgument,
    Number,
    OptionalNamed,
    SymbolicNumber,
)
from bnlint.tracing.kinds import Role
from bnlint.tracing.saved_operators import operator_named, unknown_operator
from bnlint.tracing.saved_values import meta_of_call, value_named

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_NOT_TAKEN: Final = re.compile(r"_unused_\d+$")
"""How torch names the results of a call that the program never takes out: `native_batch_norm_unused_1`."""

_BY_POSITION: Final = 1
_BY_NAME: Final = 2


class BadGraphError(ValueError):
    """A graph that contradicts itself."""


def build_graph(program: GraphModule) -> fx.Graph:
    """Build the graph of an exported program.

    Args:
        program: The program as its file describes it.

    Returns:
        A graph like that of `ExportedProgram.graph`. Nodes have `val` in their `meta`, calls `nn_module_stack` and
        `location`; inputs have a `role`, and `attribute` where they stand for a parameter, a buffer or a constant.

    Raises:
        BadGraphError: A value is used before it is made, made twice, a number is none, or the graph and its signature
            differ.
    """
    return _Builder(program).build()


class _Builder:
    def __init__(self, program: GraphModule) -> None:
        self._from = program.graph
        self._specifications = program.signature.input_specs
        self._graph = fx.Graph()
        self._nodes: dict[str, fx.Node] = {}

    def build(self) -> fx.Graph:
        if len(self._from.inputs) != len(self._specifications):
            raise BadGraphError("its graph and its signature have different inputs")
        for argument, specification in zip(self._from.inputs, self._specifications, strict=True):
            self._input(argument, specification)
        for call in self._from.nodes:
            self._call(call)
        outputs = tuple(self._argument(argument) for argument in self._from.outputs)
        self._graph.output(outputs)
        return self._graph

    def _input(self, argument: Argument, specification: InputSpec) -> None:
        value = argument.value()
        name = value.name if isinstance(value, Named) else value.as_name if isinstance(value, SymbolicNumber) else None
        number = specification.constant_input
        plain = _plain(name or (number.name if number is not None else None))
        node = self._graph.create_node("placeholder", plain or "value", name=plain)
        if name is None:
            node.meta["val"] = self._argument(argument)
        else:
            self._made(name, node)
        attribute = specification.attribute()
        node.meta["role"] = Role.INPUT
        if attribute is None:
            return
        if attribute[0] != name:
            raise BadGraphError("its graph and its signature have different inputs")
        node.meta["role"] = Role.CONSTANT
        node.meta["attribute"] = attribute[1]

    def _call(self, call: Call) -> None:
        target = operator_named(call.target)
        if isinstance(target, OpOverload):
            args, kwargs = self._by_schema(target, call.inputs)
        else:
            args, kwargs = self._as_given(call.inputs)
        meta = meta_of_call(call.metadata)
        node = self._create(target, args, kwargs, call.name or _first_name(call.outputs), meta)
        if target is unknown_operator:
            node.meta["role"] = Role.UNKNOWN
        self._results(call, node, meta)

    def _by_schema(self, target: OpOverload, inputs: Sequence[NamedArgument]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of an operator, in the order of its schema."""
        given = {argument.name: argument for argument in inputs}
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in target._schema.arguments:
            argument = given.get(parameter.name)
            if argument is None:
                continue
            # Before torch 2.6 the file does not say how an argument was given.
            positional = not parameter.has_default_value() and not parameter.kwarg_only
            if argument.kind in (_BY_POSITION, _BY_NAME):
                positional = argument.kind == _BY_POSITION
            is_next = len(args) < len(target._schema.arguments) and target._schema.arguments[len(args)] == parameter
            if positional and is_next:
                args.append(self._argument(argument.arg))
            else:
                kwargs[parameter.name] = self._argument(argument.arg)
        return tuple(args), kwargs

    def _as_given(self, inputs: Iterable[NamedArgument]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for given in inputs:
            value = self._argument(given.arg)
            if given.kind == _BY_POSITION or not given.name:
                args.append(value)
            else:
                kwargs[given.name] = value
        return tuple(args), kwargs

    def _argument(self, argument: Argument) -> Any:
        if argument.as_none is not UNSET:
            return None
        if argument.as_float is not UNSET:
            return _float(argument.as_float)
        if argument.as_floats is not UNSET:
            return [_float(number) for number in argument.as_floats]
        if argument.as_scalar_type is not UNSET:
            return getattr(torch, DTYPES.get(argument.as_scalar_type, ""), None)
        if argument.as_graph is not UNSET:
            return self._graph.create_node("get_attr", _plain(argument.as_graph.name) or "graph")
        if argument.as_custom_obj is not UNSET:
            return self._nodes.get(argument.as_custom_obj.name)
        return self._plain_argument(argument.value())

    def _plain_argument(self, value: Any) -> Any:
        match value:
            case list():
                return [self._plain_argument(item) for item in value]
            case Named():
                return self._node(value.name)
            case OptionalNamed():
                return None if value.as_tensor is None else self._node(value.as_tensor.name)
            case SymbolicNumber(as_name=str(name)):
                return self._node(name)
            case SymbolicNumber():
                return next((item for item in (value.as_int, value.as_bool, value.as_float) if item is not None), None)
            case _:
                return value

    def _results(self, call: Call, node: fx.Node, meta: dict[str, Any]) -> None:
        if len(call.outputs) != 1 or call.is_hop_single_tensor_return is False:
            self._parts(node, call.outputs, meta)
            return
        value = call.outputs[0].value()
        if isinstance(value, list):
            self._parts(node, value, meta)
        elif (name := _name(value)) is not None:
            self._made(name, node)

    def _parts(self, node: fx.Node, results: Sequence[Any], meta: dict[str, Any]) -> None:
        """A call with several results: each is an element of what the call gives."""
        values = []
        for index, result in enumerate(results):
            value = result.value() if isinstance(result, Argument) else result
            name = _name(value)
            if name is not None and _NOT_TAKEN.search(name):
                values.append(value_named(self._from, name))
            elif name is not None:
                part = self._create(operator.getitem, (node, index), {}, name, meta)
                self._made(name, part)
                values.append(part.meta["val"])
            elif isinstance(value, list):
                part = self._create(operator.getitem, (node, index), {}, None, meta)
                self._parts(part, value, meta)
                values.append(part.meta["val"])
            else:
                values.append(None)
        node.meta["val"] = tuple(values)

    def _create(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str | None, meta: Any
    ) -> fx.Node:
        node = self._graph.create_node("call_function", target, args, kwargs, _plain(name))
        node.meta.update(meta)
        return node

    def _made(self, name: str, node: fx.Node) -> None:
        if name in self._nodes:
            raise BadGraphError(f"its graph makes the value `{name}` twice")
        self._nodes[name] = node
        node.meta["val"] = value_named(self._from, name)

    def _node(self, name: str) -> fx.Node:
        if name not in self._nodes:
            raise BadGraphError(f"its graph uses the value `{name}` before it is made")
        return self._nodes[name]


def _float(number: Number) -> float:
    try:
        return float(number)
    except ValueError:
        raise BadGraphError(f"`{number}` stands for a number") from None


def _plain(name: str | None) -> str | None:
    """A name from the file where it can stand in Python code; otherwise torch finds one."""
    return name if name is not None and _PLAIN_NAME.fullmatch(name) else None


def _name(value: object) -> str | None:
    """The name of one result; `None` for none, or several."""
    if isinstance(value, Named):
        return value.name
    return value.as_name if isinstance(value, SymbolicNumber) else None


def _first_name(outputs: Sequence[Argument]) -> str | None:
    return _name(outputs[0].value()) if len(outputs) == 1 else None
