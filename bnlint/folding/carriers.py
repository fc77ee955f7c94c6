"""Finds the layer whose weight a call uses, and refuses those whose weight is not its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.uses import Uses
from bnlint.tracing.arguments import argument
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import Trace

_LAYERS: dict[str, type[nn.Module]] = {
    "linear": nn.Linear,
    "conv1d": nn.Conv1d,
    "conv2d": nn.Conv2d,
    "conv3d": nn.Conv3d,
    "conv_transpose1d": nn.ConvTranspose1d,
    "conv_transpose2d": nn.ConvTranspose2d,
    "conv_transpose3d": nn.ConvTranspose3d,
}
"""The layer that keeps its weight in the form that a function expects."""


def carrier_of(node: fx.Node, uses: Uses, trace: Trace) -> tuple[str, nn.Module]:
    """The layer that a call belongs to, if its weight is used for nothing but calls of the layer.

    Whether all its calls want the same is for the planner to see.

    Args:
        node: A call of a layer, or of a function with the weight and bias of a layer (a subclass of a convolution
            that pads first, say).
        uses: Who uses what.
        trace: The graph.

    Returns:
        The path and the layer.

    Raises:
        CannotFoldError: With the reason.
    """
    if node.op != "call_module":
        return _of_function(node, uses)
    path = str(node.meta["layer"])
    module = uses.require_plain(path)
    if trace.attributes[str(node.target)] is not module:
        raise CannotFoldError("{} is not in the module tree", path)
    if node.meta.get("replaced"):
        raise CannotFoldError("{} is called with other weights than its own", path)
    return path, module


@dataclass(frozen=True)
class Geometry:
    """How a call of a convolution slides over its input, one number for each spatial axis."""

    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    zeros: bool
    """Whether what it pads with is zeros."""


def geometry_of(node: fx.Node, module: _ConvNd) -> Geometry:
    """The geometry of a call: that of the layer, or what its weight is called with.

    Args:
        node: A call that `carrier_of` accepts.
        module: The convolution.
    """
    if node.op == "call_module":
        return Geometry(module.stride, module.padding, module.dilation, module.padding_mode == "zeros")
    rank = len(module.kernel_size)
    padding = argument(node, 4, "padding", 0)
    return Geometry(
        _each(argument(node, 3, "stride", 1), rank),
        padding if isinstance(padding, str) else _each(padding, rank),
        _each(argument(node, 5, "dilation", 1), rank),
        zeros=True,
    )


def _each(numbers: Any, rank: int) -> tuple[int, ...]:
    values = tuple(numbers) if isinstance(numbers, (list, tuple)) else (numbers,)
    return values * rank if len(values) == 1 else values


def _of_function(node: fx.Node, uses: Uses) -> tuple[str, nn.Module]:
    name = operator_name(node.target)
    weight = argument(node, 1, "weight", None)
    if not isinstance(weight, fx.Node) or weight.op != "get_attr" or not str(weight.target).endswith(".weight"):
        raise CannotFoldError("{} is called with a weight that is computed in the forward", name)
    path = str(weight.target).removesuffix(".weight")
    module = uses.module(path)
    if name not in _LAYERS or not isinstance(module, _LAYERS[name]):
        raise CannotFoldError("{} is called with the weight of {}, a {}", name, path, type(module).__name__)
    uses.require_own_tensors(path, module, frozenset({node}))
    bias = argument(node, 2, "bias", None)
    if bias is None:
        _require_place_for_a_bias(node, path, module)
    elif not isinstance(bias, fx.Node) or bias.op != "get_attr" or bias.target != f"{path}.bias":
        raise CannotFoldError("{} is called with the weight of {} and another bias", name, path)
    return path, module


def _require_place_for_a_bias(node: fx.Node, path: str, module: nn.Module) -> None:
    """A bias that folding adds must reach the call: the layer's own forward passes `self.bias` on."""
    mentioned = "bias" in getattr(getattr(type(module).forward, "__code__", None), "co_names", ())
    if getattr(module, "bias", None) is not None or not mentioned or node.meta.get("module") != path:
        raise CannotFoldError("the call with the weight of {} ({}) uses no bias", path, type(module).__name__)
