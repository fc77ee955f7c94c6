"""Values of tensors that do not depend on the input: the run on meta tensors can still branch on them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import _disable_current_modes

from bnlint.tracing.graph_builder import GraphBuilder

LARGEST = 1 << 16
"""Elements of a parameter or buffer up to which its values are read: relative position tables, not weights."""


class ValueNeededError(Exception):
    """The model's code needs a value that depends on the input; the recorder then runs on real tensors."""


def value_of(builder: GraphBuilder, tensor: Tensor) -> Tensor:
    """The value of a meta tensor that was made from constants alone.

    Args:
        builder: The graph under construction.
        tensor: A meta tensor of the run, of any shape and dtype.

    Returns:
        A tensor with data of the same shape and dtype.

    Raises:
        ValueNeededError: If the value depends on an input, on a large weight, or on writes in place.
    """
    node = builder.node_of(tensor)
    if node is None:
        raise ValueNeededError
    with torch.no_grad(), _disable_current_modes():  # the original is read here, and may be
        value = _evaluate(node, builder.attributes, {})
        if not isinstance(value, Tensor):
            raise ValueNeededError
        return value.clone()  # `numpy()` gives the model's code the memory itself


def _evaluate(node: fx.Node, attributes: dict[str, Any], known: dict[fx.Node, Any]) -> Any:
    if node in known:
        return known[node]
    if "written_by" in node.meta or node.op in ("placeholder", "call_module"):
        raise ValueNeededError
    if node.op == "get_attr":
        value = attributes[str(node.target)]
        if isinstance(value, Tensor) and (value.is_meta or value.numel() > LARGEST):
            raise ValueNeededError
    else:
        args, kwargs = fx.node.map_arg(
            (node.args, dict(node.kwargs)), lambda argument: _evaluate(argument, attributes, known)
        )
        value = getattr(args[0], str(node.target))(*args[1:], **kwargs) if node.op == "call_method" else None
        if callable(node.target):
            value = node.target(*args, **kwargs)
    known[node] = value
    return value
