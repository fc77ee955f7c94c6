"""Builds a graph from an ONNX file: functions of torch stand for its operators, and none of them is called."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from bnlint.artifacts.inert.onnx_contents import OnnxContents, OnnxNode, OnnxTensor
from bnlint.norms.onnx import NORMALISATIONS
from bnlint.tracing.kinds import Role
from bnlint.tracing.onnx_notes import module_of, torch_role
from bnlint.tracing.onnx_numbers import as_written
from bnlint.tracing.onnx_operators import function_of, role_of
from bnlint.tracing.saved_graph import BadGraphError
from bnlint.tracing.saved_operators import unknown_operator
from bnlint.tracing.saved_values import LARGEST_SIZE
from bnlint.tracing.source import caller_in_saved_text

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_NOT_SPECIFIC: Final = frozenset({
    Role.OTHER, Role.ADDITION, Role.MULTIPLICATION, Role.REDUCTION, Role.MOVE, Role.MATMUL, Role.SOFTMAX,
})  # fmt: skip
"""Roles that a call may have as one of the parts of an operator of torch."""


class OnnxGraph:
    """The graph of an ONNX file, built.

    Attributes:
        graph: The graph; nodes have `val` and `role` in their `meta`, inputs that stand for a constant `attribute`,
            and calls `onnx`, the call in the file, and
            `call_name`, its name there.

    Args:
        contents: What the file holds.

    Raises:
        BadGraphError: A value is used before it is made, or made twice.
    """

    def __init__(self, contents: OnnxContents) -> None:
        self._contents = contents
        self._values = {value.name: value for value in (*contents.values, *contents.inputs)}
        self._constants: dict[str, OnnxTensor] = {}
        self._nodes: dict[str, fx.Node] = {}
        self._readers = Counter(name for node in contents.nodes for name in node.inputs)
        self._readers.update(contents.outputs)
        self.graph = fx.Graph()
        for constant in contents.constants:
            self._constant(constant)
        for value in contents.inputs:
            self._made(value.name, self._create_input(value.name, Role.INPUT))
        for call in contents.nodes:
            self._call(call)
        self.graph.output(tuple(self.node(name) for name in contents.outputs)).meta["role"] = Role.OUTPUT

    def node(self, name: str) -> fx.Node | None:
        """The node of a value; `None` for an argument that is not given.

        Raises:
            BadGraphError: If the value is not made yet.
        """
        if name and name not in self._nodes:
            raise BadGraphError(f"its graph uses the value `{name}` before it is made")
        return self._nodes[name] if name else None

    def few(self, name: str) -> tuple[int | float, ...] | None:
        """The values of a constant, where they are few and at hand."""
        constant = self._constants.get(name)
        return constant.few if constant is not None else None

    def _constant(self, constant: OnnxTensor) -> None:
        node = self._create_input(constant.name, Role.CONSTANT)
        node.meta["attribute"] = constant.name
        node.meta["val"] = _meta_tensor(constant.shape, constant.dtype)
        self._constants[constant.name] = constant
        self._made(constant.name, node)

    def _create_input(self, name: str, role: Role) -> fx.Node:
        node = self.graph.create_node("placeholder", name, name=_plain(name))
        node.meta.update(role=role, val=self._value(name))
        return node

    def _call(self, call: OnnxNode) -> None:
        if self._names_constant(call) or self._adds_bias(call):
            return
        function, args = self._function(call)
        node = self.graph.create_node("call_function", function, args)
        role = role_of(function)
        if role in _NOT_SPECIFIC:
            role = torch_role(call) or role
        node.meta.update(role=role, onnx=call, call_name=call.name, module=module_of(call))
        location = caller_in_saved_text(call.notes.get("stack_trace", ""))
        if location is not None:
            node.meta["location"] = location
        self._results(call, node)

    def _function(self, call: OnnxNode) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """The function of torch that stands for a call, and its arguments."""
        inputs = [self.node(name) for name in call.inputs]
        if call.has_graph:
            return unknown_operator, tuple(inputs)
        first, second = (self._constants.get(name) for name in (*call.inputs, "", "")[:2])
        looks_up = call.operator == "Gather" and len(inputs) == 2 and second is None
        if looks_up and first is not None and len(first.shape) == 2:
            return F.embedding, (inputs[1], inputs[0])
        if call.operator == "MatMul" and second is not None:
            return F.linear, tuple(inputs)
        if call.operator == "Gemm" and second is None:
            return torch.addmm, tuple(inputs[::-1])
        gated = _gated(call, inputs)
        if gated is not None:
            return F.silu, (gated,)
        make = _ARGUMENTS.get(call.operator)
        return function_of(call.operator), tuple(inputs) if make is None else make(self, call, inputs)

    def _names_constant(self, call: OnnxNode) -> bool:
        """Whether a call gives a constant another name, as the exporter does for weights of the same values."""
        constant = self._constants.get(call.inputs[0]) if call.operator == "Identity" and call.inputs else None
        if constant is None or len(call.outputs) != 1:
            return False
        self._constants[call.outputs[0]] = constant
        self._made(call.outputs[0], self._nodes[constant.name])
        return True

    def _adds_bias(self, call: OnnxNode) -> bool:
        """Whether a call adds a bias to the product before it: `nn.Linear` on three axes becomes two calls."""
        if call.operator != "Add" or len(call.inputs) != 2 or len(call.outputs) != 1:
            return False
        for product, bias in (call.inputs, call.inputs[::-1]):
            node, constant = self._nodes.get(product), self._constants.get(bias)
            plain = node is not None and node.target is F.linear and len(node.args) == 2
            if plain and node is not None and constant is not None and len(constant.shape) == 1:
                if self._readers[product] > 1:
                    continue
                node.args = (*node.args, self.node(bias))
                self._made(call.outputs[0], node)
                return True
        return False

    def _results(self, call: OnnxNode, node: fx.Node) -> None:
        taken = [name for name in call.outputs if name]
        if not taken:
            return
        if len(call.outputs) == 1:
            self._made(call.outputs[0], node)
        elif taken == list(call.outputs[:1]) or call.operator in _FIRST_RESULT:
            self._made(call.outputs[0], node)
            for name in call.outputs[1:]:
                if name:
                    self._part(name, node, Role.CONSTANT)  # nothing of the input is in them
        else:
            node.meta["val"] = tuple(self._value(name) for name in call.outputs)
            for index, name in enumerate(call.outputs):
                if name:
                    self._part(name, node, Role.PART, index)

    def _part(self, name: str, node: fx.Node, role: Role, index: int = 0) -> None:
        part = self.graph.create_node("call_function", operator.getitem, (node, index))
        part.meta["role"] = role
        self._made(name, part)

    def _made(self, name: str, node: fx.Node) -> None:
        if name in self._nodes:
            raise BadGraphError(f"its graph makes the value `{name}` twice")
        self._nodes[name] = node
        value = self._value(name)
        if value is not None:
            node.meta["val"] = value
        node.meta.setdefault("val", None)

    def _value(self, name: str) -> Tensor | None:
        value = self._values.get(name)
        return None if value is None or value.shape is None else _meta_tensor(value.shape, value.dtype)


_FIRST_RESULT: Final = frozenset(NORMALISATIONS) | {"Dropout", "MaxPool"}
"""Operators whose first result is the one that rules ask about; the others are statistics, masks and indices."""


def _plain(name: str) -> str | None:
    return name if _PLAIN_NAME.fullmatch(name) else None


def _meta_tensor(shape: tuple[int, ...], dtype: str) -> Tensor | None:
    if not dtype or any(size > LARGEST_SIZE for size in shape):
        return None
    try:
        return torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
    except RuntimeError:  # more bytes than can be counted
        return None


def _gated(call: OnnxNode, inputs: list[fx.Node | None]) -> fx.Node | None:
    """The value that is multiplied by a sigmoid of itself, as SiLU does."""
    if call.operator != "Mul" or len(inputs) != 2:
        return None
    for value, gate in (inputs, inputs[::-1]):
        if value is not None and gate is not None and gate.target is torch.sigmoid and gate.args == (value,):
            return value
    return None


def _permuted(_: OnnxGraph, call: OnnxNode, inputs: list[fx.Node | None]) -> tuple[Any, ...]:
    order = call.attributes.get("perm")
    if isinstance(order, tuple):
        return (*inputs[:1], list(order))
    value = inputs[0].meta.get("val") if inputs and inputs[0] is not None else None
    return (*inputs[:1], list(range(value.dim()))[::-1]) if isinstance(value, Tensor) else tuple(inputs[:1])


def _dropped(graph: OnnxGraph, call: OnnxNode, inputs: list[fx.Node | None]) -> tuple[Any, ...]:
    """Before version 12, dropout of inference was the operator itself; since then training is its third input."""
    ratio = graph.few(call.inputs[1]) if len(call.inputs) > 1 else None
    training = graph.few(call.inputs[2]) if len(call.inputs) > 2 else (0,)
    given = ratio[0] if ratio else call.attributes.get("ratio", 0.5)
    chance = given if isinstance(given, (int, float)) else 0.5
    return (*inputs[:1], as_written(chance), bool(training and training[0]))


def _concatenated(_: OnnxGraph, call: OnnxNode, inputs: list[fx.Node | None]) -> tuple[Any, ...]:
    return [node for node in inputs if node is not None], call.attributes.get("axis", 1)


def _clipped(_: OnnxGraph, __: OnnxNode, inputs: list[fx.Node | None]) -> tuple[Any, ...]:
    return tuple(inputs[:1])


_Arguments = Callable[[OnnxGraph, OnnxNode, list[fx.Node | None]], tuple[Any, ...]]
_ARGUMENTS: Final[Mapping[str, _Arguments]] = {
    "Transpose": _permuted,
    "Dropout": _dropped,
    "Concat": _concatenated,
    "Clip": _clipped,
    "Pad": _clipped,
    "Resize": _clipped,
    "Upsample": _clipped,
}
