"""What an ONNX file holds, as plain data: read with the `onnx` package, in the child process for untrusted files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from bnlint.artifacts.inert.onnx_bytes import reduced
from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.inert.tensors import MOST_AXES
from bnlint.opening import open_regular

EXAMPLE_BATCH: Final = 2
"""The size that stands for a batch of any size: with 1, a batch cannot be told from an axis that is not there."""

LARGEST_SIZE: Final = 1 << 40
"""The largest size of an axis that is believed."""

Attribute = int | float | str | tuple[int | float, ...]

MOST_NODES: Final = 1 << 16
"""Calls and constants: each takes some kilobytes of memory once it is a node of torch."""

MOST_ARGUMENTS: Final = 1 << 18
"""Inputs and outputs of all calls together."""

_MOST_KEPT: Final = 16
"""Values of a constant that are kept: flags, probabilities, axes and shapes."""

_METADATA: Final = {
    "pkg.torch.onnx.class_hierarchy": "classes",
    "pkg.torch.onnx.name_scopes": "scopes",
    "pkg.torch.onnx.fx_node": "call",
    "pkg.torch.onnx.stack_trace": "stack_trace",
    "pkg.onnxscript.rewriter.rule_name": "rewritten_by",
}
_LONGEST_TEXT: Final = 1 << 16

_DTYPES: Final = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz",
}  # fmt: skip
"""Names of torch for the data types of `onnx.TensorProto`; it has no others of ONNX."""


class OnnxTensor(msgspec.Struct, frozen=True, array_like=True):
    """An initialiser, or the result of a `Constant` operator.

    Attributes:
        name: Its name.
        dtype: Data type by torch's names; empty for one that torch has not.
        shape: Its shape.
        region: Where its values lie in the file; `None` where they are elsewhere, or in another form.
        external: Whether its values are in another file, which is never opened.
        few: The values, where they are at hand and few.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    region: Region | None = None
    external: bool = False
    few: tuple[int | float, ...] | None = None


class OnnxValue(msgspec.Struct, frozen=True, array_like=True):
    """A value of the graph.

    Attributes:
        name: Its name.
        dtype: Data type by torch's names; empty where it is unknown.
        shape: Its shape; `None` where a size is unknown.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None


class OnnxNode(msgspec.Struct, frozen=True):
    """A call of an operator.

    Attributes:
        name: Name of the call; may be empty.
        operator: Its name, with its domain before a `::` where it is not of ONNX itself.
        inputs: Names of values; an empty one for an argument that is not given.
        outputs: Names of values; an empty one for a result that is not taken.
        attributes: Numbers, texts and lists of numbers.
        has_graph: Whether a graph of its own is among its attributes.
        inner_operators: The operators in these graphs and in those that they hold, each once.
        notes: What torch's exporter notes of it: `classes`, `scopes`, `call`, `stack_trace`, `rewritten_by`.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute] = {}
    has_graph: bool = False
    inner_operators: tuple[str, ...] = ()
    notes: dict[str, str] = {}


class OnnxContents(msgspec.Struct, frozen=True):
    """A model.

    Attributes:
        opset: Version of ONNX's own operators.
        nodes: The calls in order.
        constants: Initialisers and results of `Constant` operators.
        inputs: The inputs that are no initialisers.
        outputs: Names of the outputs.
        values: What is known of values.
        batch_assumed: Whether inputs have a batch of any size, for which `EXAMPLE_BATCH` stands.
    """

    opset: int
    nodes: tuple[OnnxNode, ...]
    constants: tuple[OnnxTensor, ...]
    inputs: tuple[OnnxValue, ...]
    outputs: tuple[str, ...]
    values: tuple[OnnxValue, ...]
    batch_assumed: bool = False


def read_onnx(path: Path) -> OnnxContents:
    """Read an ONNX file; files beside it, which may hold weights, are never opened.

    Args:
        path: The file.

    Raises:
        ValueError: The file is damaged.
    """
    import onnx

    with open_regular(path) as file:
        small = reduced(file)
    try:
        model = onnx.ModelProto.FromString(small.data)
    except Exception as error:  # of protobuf
        raise ValueError("it is no message of ONNX") from error
    if model.functions:
        import onnx.inliner

        model = onnx.inliner.inline_local_functions(model)
    assumed = _assume_a_batch(model.graph)
    return _with_names_of_text(_contents(_with_shapes(model), dict(small.regions), assumed))


def _with_names_of_text(contents: OnnxContents) -> OnnxContents:
    """The contents as they are; protobuf gives a text that is no UTF-8 as bytes."""
    names: list[Any] = [*contents.outputs]
    names += [constant.name for constant in contents.constants]
    names += [value.name for value in (*contents.inputs, *contents.values)]
    for node in contents.nodes:
        names += (node.name, node.operator, *node.inputs, *node.outputs, *node.attributes, *node.notes.values())
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a name in it is no text")
    return contents


def _with_shapes(model: Any) -> Any:
    """Infer shapes, of initialisers without their values; a model whose shapes contradict each other keeps its own."""
    import onnx.shape_inference

    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # whatever onnx's C++ code raises
        return model


def _assume_a_batch(graph: Any) -> bool:
    """Give the first axis of inputs a size where it has a name or none."""
    constants = {tensor.name for tensor in graph.initializer}
    names = set()
    assumed = False
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in constants or not dims or dims[0].dim_value > 0:  # -1 is how PaddlePaddle writes any size
            continue
        names.add(dims[0].dim_param)
        dims[0].dim_value = EXAMPLE_BATCH
        assumed = True
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param and dim.dim_param in names:
                dim.dim_value = EXAMPLE_BATCH
    return assumed


def _contents(model: Any, regions: dict[str, Region], assumed: bool) -> OnnxContents:
    graph = model.graph
    constants = [_tensor(tensor, tensor.name, regions.get(tensor.name)) for tensor in graph.initializer]
    nodes = []
    for node in graph.node:
        value = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and value is not None:
            constants.extend(_tensor(value, name, regions.get(name)) for name in node.output)
        else:
            nodes.append(_node(node))
    if len(constants) + len(nodes) > MOST_NODES or sum(len(n.inputs) + len(n.outputs) for n in nodes) > MOST_ARGUMENTS:
        raise ValueError("its graph has more parts than that of any model")
    own = {constant.name for constant in constants}
    return OnnxContents(
        opset=max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1),
        nodes=tuple(nodes),
        constants=tuple(constants),
        inputs=tuple(_values(value for value in graph.input if value.name not in own)),
        outputs=tuple(value.name for value in graph.output),
        values=tuple(_values((*graph.value_info, *graph.output))),
        batch_assumed=assumed,
    )


def _tensor(tensor: Any, name: str, region: Region | None) -> OnnxTensor:
    external = tensor.data_location == tensor.EXTERNAL
    dtype = _DTYPES.get(tensor.data_type, "")
    found = OnnxTensor(name, dtype, tuple(tensor.dims), None if external else region, external)
    if len(found.shape) > MOST_AXES:
        raise ValueError(f"the initialiser `{name}` has {len(found.shape)} axes")
    count = 1
    for size in found.shape:
        if not 0 <= size <= LARGEST_SIZE:
            raise ValueError(f"the initialiser `{name}` has an axis of {size}")
        count *= size
    if external or count > _MOST_KEPT or found.dtype not in ("float32", "float64", "int32", "int64", "bool"):
        return found
    return msgspec.structs.replace(found, few=_few(tensor))


def _few(tensor: Any) -> tuple[int | float, ...] | None:
    import onnx.numpy_helper

    try:
        values = onnx.numpy_helper.to_array(tensor).ravel()
    except (ValueError, TypeError):  # fewer bytes than the shape takes
        return None
    return tuple(value.item() + 0 for value in values)  # a truth value as 0 or 1


def _values(values: Iterable[Any]) -> Iterator[OnnxValue]:
    for value in values:
        tensor = value.type.tensor_type
        sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
        sound = len(sizes) <= MOST_AXES and all(0 <= size <= LARGEST_SIZE for size in sizes)
        known = tensor.HasField("shape") and sound
        yield OnnxValue(value.name, _DTYPES.get(tensor.elem_type, ""), tuple(sizes) if known else None)


def _node(node: Any) -> OnnxNode:
    attributes: dict[str, Attribute] = {}
    has_graph = False
    for attribute in node.attribute:
        if attribute.type == attribute.INT:
            attributes[attribute.name] = attribute.i
        elif attribute.type == attribute.FLOAT:
            attributes[attribute.name] = attribute.f
        elif attribute.type == attribute.STRING:
            attributes[attribute.name] = attribute.s.decode("utf-8", "replace")
        elif attribute.type == attribute.INTS:
            attributes[attribute.name] = tuple(attribute.ints)
        elif attribute.type == attribute.FLOATS:
            attributes[attribute.name] = tuple(attribute.floats)
        has_graph = has_graph or attribute.type in (attribute.GRAPH, attribute.GRAPHS)
    return OnnxNode(
        name=node.name,
        operator=_operator(node),
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes=attributes,
        has_graph=has_graph,
        inner_operators=tuple(dict.fromkeys(_inner_operators(node))) if has_graph else (),
        notes={
            _METADATA[entry.key]: entry.value for entry in node.metadata_props
            if entry.key in _METADATA and len(entry.value) <= _LONGEST_TEXT
        },
    )  # fmt: skip


def _operator(node: Any) -> str:
    name: str = node.op_type
    return name if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"


def _inner_operators(node: Any) -> Iterator[str]:
    """The operators in the graphs of a call, to any depth: protobuf itself reads no message of more than 100."""
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield _operator(inner)
                yield from _inner_operators(inner)
