"""Makes ONNX files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import onnx
from onnx import helper, numpy_helper

NORM = ("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
VALUES = {
    "conv.weight": numpy.ones((4, 3, 3, 3), "f"),
    "bn.weight": numpy.array([1.5, 0.5, 2.0, 1.0], "f"),
    "bn.bias": numpy.array([0.1, 0.2, 0.3, 0.4], "f"),
    "bn.running_mean": numpy.array([0.5, -0.5, 0.0, 1.0], "f"),
    "bn.running_var": numpy.array([1.0, 2.0, 0.5, 4.0], "f"),
}
"""The constants of `CONV_NORM`."""


def call(operator: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), list(outputs), **attributes)


def noted(node: onnx.NodeProto, scopes: Sequence[str], classes: Sequence[str], text: str = "") -> onnx.NodeProto:
    """A call with the notes of torch's exporter."""
    notes = {"class_hierarchy": str(list(classes)), "name_scopes": str(list(scopes)), "fx_node": text}
    helper.set_metadata_props(node, {f"pkg.torch.onnx.{key}": value for key, value in notes.items()})
    return node


CONV_NORM = (
    call("Conv", ["x", "conv.weight"], "convolved"),
    call("BatchNormalization", ["convolved", *NORM], "normalised", epsilon=1e-3, momentum=0.75),
    call("Relu", ["normalised"], "y"),
)


def model_of(
    calls: Sequence[onnx.NodeProto] = CONV_NORM,
    constants: Mapping[str, numpy.ndarray | onnx.TensorProto] = VALUES,
    *,
    shape: Sequence[int | str | None] = (2, 3, 8, 8),
    opset: int = 18,
    output: str = "y",
    functions: Sequence[onnx.FunctionProto] = (),
    inputs: Mapping[str, Sequence[int | str | None]] | None = None,
) -> onnx.ModelProto:
    tensors = [
        value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(value, name)
        for name, value in constants.items()
    ]
    given = [
        helper.make_tensor_value_info(name, 1, sizes) for name, sizes in ({"x": shape} | dict(inputs or {})).items()
    ]
    graph = helper.make_graph(list(calls), "main", given, [helper.make_tensor_value_info(output, 1, None)], tensors)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(function.domain, 1) for function in functions)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), producer_name="pytorch")


def saved(path: Path, *args: Any, **options: Any) -> Path:
    path.write_bytes(model_of(*args, **options).SerializeToString())
    return path
