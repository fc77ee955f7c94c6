"""The parts that bnlint reads of the JSON in a `.pt2` file, with the names and numbers of torch's own schema.

`torch/_export/serde/schema.py`, major version 8 (torch 2.6 to 2.13). Every field that is not named here is skipped, the
example inputs and `guards_code` among them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

SCHEMA: Final = 8
"""The major version of the schema that is read; torch counts it up for changes that break readers."""

MOST_NODES: Final = 100_000
"""Calls in a graph; the largest language models have some ten thousand."""

DTYPES: Final = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
    29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 33: "float8_e8m0fnu",
    34: "uint32", 35: "uint64",
}  # fmt: skip
"""Data types by their number in the schema."""

Number = float | str
"""A float; JSON has no `Infinity`, `-Infinity` and `NaN`, which are written as texts."""


class Named(Struct, frozen=True):
    """A reference to a value of the graph."""

    name: str


class OptionalNamed(Struct, frozen=True):
    """A reference to a value of the graph, or none."""

    as_tensor: Named | None = None


class Hint(Struct, frozen=True):
    """The value that an expression had in the example that was exported."""

    as_int: int | None = None


class Expression(Struct, frozen=True):
    """A size that differs from input to input."""

    hint: Hint | None = None


class Size(Struct, frozen=True):
    """A size, a stride or an offset: one of the two is set."""

    as_int: int | None = None
    as_expr: Expression | None = None

    @property
    def of_example(self) -> int | None:
        """The number in the example that was exported; `None` where it depends on values."""
        if self.as_int is not None:
            return self.as_int
        hint = self.as_expr.hint if self.as_expr is not None else None
        return hint.as_int if hint is not None else None


class SymbolicNumber(Struct, frozen=True):
    """A number as an argument: a value of the graph, or a constant."""

    as_name: str | None = None
    as_int: int | None = None
    as_float: Number | None = None
    as_bool: bool | None = None


class TensorMeta(Struct, frozen=True):
    """What a tensor is."""

    dtype: int
    sizes: Annotated[list[Size], Meta(max_length=64)]
    strides: Annotated[list[Size], Meta(max_length=64)]
    storage_offset: Size = Size(as_int=0)
    requires_grad: bool = False


class Argument(Struct, frozen=True):
    """An argument or a result: the one field that is set says of which type."""

    as_none: bool | UnsetType = UNSET
    as_tensor: Named | UnsetType = UNSET
    as_tensors: list[Named] | UnsetType = UNSET
    as_int: int | UnsetType = UNSET
    as_ints: list[int] | UnsetType = UNSET
    as_float: Number | UnsetType = UNSET
    as_floats: list[Number] | UnsetType = UNSET
    as_string: str | UnsetType = UNSET
    as_strings: list[str] | UnsetType = UNSET
    as_bool: bool | UnsetType = UNSET
    as_bools: list[bool] | UnsetType = UNSET
    as_sym_int: SymbolicNumber | UnsetType = UNSET
    as_sym_ints: list[SymbolicNumber] | UnsetType = UNSET
    as_sym_float: SymbolicNumber | UnsetType = UNSET
    as_sym_floats: list[SymbolicNumber] | UnsetType = UNSET
    as_sym_bool: SymbolicNumber | UnsetType = UNSET
    as_sym_bools: list[SymbolicNumber] | UnsetType = UNSET
    as_optional_tensor: OptionalNamed | UnsetType = UNSET
    as_optional_tensors: list[OptionalNamed] | UnsetType = UNSET
    as_nested_tensors: list[list[Named]] | UnsetType = UNSET
    as_scalar_type: int | UnsetType = UNSET
    as_custom_obj: Named | UnsetType = UNSET
    as_graph: Named | UnsetType = UNSET
    as_operator: str | UnsetType = UNSET

    def value(self) -> Any:
        """The field that is set; `None` where it is one that is not read."""
        return next((value for value in msgspec.structs.astuple(self) if value is not UNSET), None)


class NamedArgument(Struct, frozen=True):
    """An argument of a call; `kind` is 1 for one that is given by position and 2 for one by name."""

    name: str
    arg: Argument
    kind: int | None = None


class Call(Struct, frozen=True):
    """A node of the graph."""

    target: str
    inputs: list[NamedArgument]
    outputs: list[Argument]
    metadata: dict[str, str] = {}
    name: str | None = None
    is_hop_single_tensor_return: bool | None = None


class Graph(Struct, frozen=True):
    """A graph: inputs, calls in their order, outputs, and what each value is."""

    inputs: list[Argument]
    outputs: list[Argument]
    nodes: Annotated[list[Call], Meta(max_length=MOST_NODES)]
    tensor_values: dict[str, TensorMeta]
    sym_int_values: dict[str, Size] = {}


class UserInput(Struct, frozen=True):
    """An input of the model."""

    arg: Argument


class ParameterInput(Struct, frozen=True):
    """A parameter."""

    arg: Named
    parameter_name: str


class BufferInput(Struct, frozen=True):
    """A buffer."""

    arg: Named
    buffer_name: str


class ConstantInput(Struct, frozen=True):
    """A tensor that is neither parameter nor buffer."""

    arg: Named
    tensor_constant_name: str


class ObjectInput(Struct, frozen=True):
    """An object that is no tensor."""

    arg: Named
    custom_obj_name: str


class InputSpec(Struct, frozen=True):
    """What an input of the graph is: at most one field is set."""

    user_input: UserInput | None = None
    parameter: ParameterInput | None = None
    buffer: BufferInput | None = None
    tensor_constant: ConstantInput | None = None
    custom_obj: ObjectInput | None = None
    constant_input: Named | None = None

    def attribute(self) -> tuple[str, str] | None:
        """Name of the value in the graph, and of the attribute that it stands for; `None` for inputs of the model."""
        if self.parameter is not None:
            return self.parameter.arg.name, self.parameter.parameter_name
        if self.buffer is not None:
            return self.buffer.arg.name, self.buffer.buffer_name
        if self.tensor_constant is not None:
            return self.tensor_constant.arg.name, self.tensor_constant.tensor_constant_name
        if self.custom_obj is not None:
            return self.custom_obj.arg.name, self.custom_obj.custom_obj_name
        return None


class Signature(Struct, frozen=True):
    """What the inputs of the graph are."""

    input_specs: list[InputSpec]


class GraphModule(Struct, frozen=True):
    """The graph and its signature."""

    graph: Graph
    signature: Signature


class Version(Struct, frozen=True):
    """Version of the schema."""

    major: int


class Program(Struct, frozen=True):
    """The JSON of an exported program."""

    graph_module: GraphModule
    schema_version: Version


class VersionOnly(Struct, frozen=True):
    """The version alone, for JSON whose other parts may be of any form."""

    schema_version: Version


class Payload(Struct, frozen=True):
    """Where the values of a tensor are; `use_pickle` for tensors of classes of their own."""

    path_name: str
    is_param: bool = False
    use_pickle: bool = False
    tensor_meta: TensorMeta | None = None


class Payloads(Struct, frozen=True):
    """The tensors of a program by name."""

    config: dict[str, Payload]
