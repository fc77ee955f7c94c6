"""What an exported program in a file says of its values and of its calls, for the `meta` of the nodes of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from bnlint.artifacts.program_schema import DTYPES, Graph, Size, TensorMeta
from bnlint.tracing.source import caller_in_saved_text

LARGEST_SIZE: Final = 1 << 24
"""The longest axis of a value that is believed: facts may look at an axis entry by entry."""


def value_named(graph: Graph, name: str) -> Any:
    """A value of the graph, with the sizes of the example that the program was exported with.

    Args:
        graph: The graph.
        name: The name of the value.

    Returns:
        A tensor on the meta device, or a number; `None` where the file does not say, or says what cannot be.
    """
    if name in graph.tensor_values:
        return _meta_tensor(graph.tensor_values[name])
    size = graph.sym_int_values.get(name)
    return size.of_example if size is not None else None


def _meta_tensor(meta: TensorMeta) -> Tensor | None:
    sizes, strides = _numbers(meta.sizes), _numbers(meta.strides)
    if sizes is None or meta.dtype not in DTYPES:
        return None
    dtype: torch.dtype = getattr(torch, DTYPES[meta.dtype])
    try:
        if strides is None or len(strides) != len(sizes):
            return torch.empty(sizes, dtype=dtype, device="meta")
        return torch.empty_strided(sizes, strides, dtype=dtype, device="meta")
    except RuntimeError:  # more bytes than can be counted
        return None


def _numbers(sizes: Sequence[Size]) -> list[int] | None:
    numbers = [size.of_example for size in sizes]
    known = [number for number in numbers if number is not None and 0 <= number <= LARGEST_SIZE]
    return known if len(known) == len(numbers) else None


def meta_of_call(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The `meta` of a call, without its value.

    Args:
        metadata: Of the call, as in the file.

    Returns:
        `nn_module_stack` as `torch.export` keeps it, key to path and class name; `torch_fn`, a name of the call and the
        function of `torch` that it is from; and `location`, the user's line.
    """
    found: dict[str, Any] = {}
    stack = {}
    for entry in metadata.get("nn_module_stack", "").split(";"):
        key, _, rest = entry.partition(",")
        path, separator, class_name = rest.rpartition(",")
        if separator:
            stack[key] = (path, class_name)
    if stack:
        found["nn_module_stack"] = stack
    if "torch_fn" in metadata:
        found["torch_fn"] = tuple(metadata["torch_fn"].split(";"))
    location = caller_in_saved_text(metadata.get("stack_trace", ""))
    if location is not None:
        found["location"] = location
    return found
