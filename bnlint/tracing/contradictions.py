"""What is wrong with the graph in a file, asked once reading it has failed: if nothing is, the mistake is bnlint's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import UNSET
from torch._ops import OpOverload

from bnlint.artifacts.inert.onnx_contents import OnnxContents
from bnlint.artifacts.onnx_file import OnnxModel
from bnlint.artifacts.program_archive import SavedProgram
from bnlint.artifacts.program_schema import Argument, Call
from bnlint.norms.onnx import FEWEST_INPUTS as NORM_INPUTS
from bnlint.tracing.saved_operators import operator_named

_ONE_TENSOR: Final = ("as_tensor", "as_optional_tensor", "as_none")
_TENSORS: Final = ("as_tensors", "as_optional_tensors", "as_nested_tensors", "as_none")
_NUMBER: Final = (
    "as_int", "as_float", "as_bool", "as_sym_int", "as_sym_float", "as_sym_bool", "as_none",
)  # fmt: skip

_FORMS: Final = {
    "Tensor": _ONE_TENSOR,
    "Optional[Tensor]": _ONE_TENSOR,
    "List[Tensor]": _TENSORS,
    "List[Optional[Tensor]]": _TENSORS,
    "Optional[List[Tensor]]": _TENSORS,
    **{
        form: _NUMBER
        for kind in ("int", "SymInt", "float", "SymFloat", "bool", "SymBool", "number")
        for form in (kind, f"Optional[{kind}]")
    },
}
"""The forms in which a file can give an argument of each type; of other types any form is believed."""

_FEWEST_INPUTS: Final = {
    "Add": 2, "Concat": 1, "Conv": 2, "ConvTranspose": 2, "Div": 2, "Gemm": 2, "MatMul": 2, "Mul": 2, "Reshape": 2,
    "Sub": 2, **NORM_INPUTS,
}  # fmt: skip
"""Inputs without which an operator of ONNX means nothing; of others one is enough."""

_ATTRIBUTES: Final = {
    **dict.fromkeys(("alpha", "epsilon", "momentum", "ratio"), (int, float)),
    **dict.fromkeys(("axis", "group", "keepdims", "num_groups", "training_mode"), (int,)),
    **dict.fromkeys(("axes", "dilations", "kernel_shape", "pads", "perm", "strides"), (tuple,)),
}
"""Types of the attributes that bnlint reads, whatever the operator."""


def of_program(program: SavedProgram) -> str:
    """What contradicts itself in an exported program.

    Args:
        program: The program as data.

    Returns:
        A clause such as "a call of `aten.relu.default` lacks its `self`"; empty where nothing was found.
    """
    graph = program.graph_module.graph
    for specification in program.graph_module.signature.input_specs:
        value, attribute = specification.attribute() or ("", "")
        stored, meta = program.tensors.get(attribute), graph.tensor_values.get(value)
        if stored is not None and meta is not None and stored.shape != tuple(size.of_example for size in meta.sizes):
            return f"its graph and its weights give `{attribute}` different shapes"
    return next((problem for call in graph.nodes for problem in _of_call(call)), "")


def _of_call(call: Call) -> Iterator[str]:
    target = operator_named(call.target)
    if not isinstance(target, OpOverload):
        return
    given = {argument.name: argument.arg for argument in call.inputs}
    for parameter in target._schema.arguments:
        argument = given.get(parameter.name)
        if argument is None:
            if not parameter.has_default_value():
                yield f"a call of `{target}` lacks its `{parameter.name}`"
        elif _form(argument) not in _FORMS.get(str(parameter.type), (_form(argument),)):
            yield f"a call of `{target}` is given no {parameter.type} as its `{parameter.name}`"


def _form(argument: Argument) -> str:
    """The name of the field that is set."""
    return next((name for name in argument.__struct_fields__ if getattr(argument, name) is not UNSET), "as_none")


def of_onnx(model: OnnxModel) -> str:
    """What contradicts itself in an ONNX model.

    Args:
        model: The model as data.

    Returns:
        As `of_program`.
    """
    return next(_of_contents(model.contents), "")


def _of_contents(contents: OnnxContents) -> Iterator[str]:
    for node in contents.nodes:
        fewest = _FEWEST_INPUTS.get(node.operator, 1)
        if sum(map(bool, node.inputs[:fewest])) < fewest:
            yield f"a call of `{node.operator}` has fewer inputs than {fewest}"
        for name, value in node.attributes.items():
            if not isinstance(value, _ATTRIBUTES.get(name, (object,))):
                yield f"`{name}` of a call of `{node.operator}` is of another type"
