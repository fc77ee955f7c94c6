"""Finds the layer whose weight a call uses, and refuses those whose weight is not its own."""

from __future__ import annotations

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.uses import Uses
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import Trace


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
    return path, module


def _of_function(node: fx.Node, uses: Uses) -> tuple[str, nn.Module]:
    name = operator_name(node.target)
    weight = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
    if not isinstance(weight, fx.Node) or weight.op != "get_attr" or not str(weight.target).endswith(".weight"):
        raise CannotFoldError("{} is called with a weight that is computed in the forward", name)
    path = str(weight.target).removesuffix(".weight")
    module = uses.module(path)
    if not isinstance(module, (_ConvNd, nn.Linear)):
        raise CannotFoldError("{} is called with the weight of {}, a {}", name, path, type(module).__name__)
    uses.require_own_tensors(path, module, frozenset({node}))
    bias = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    mentions_bias = "bias" in getattr(getattr(type(module).forward, "__code__", None), "co_names", ())
    if bias is None and (module.bias is not None or not mentions_bias):
        raise CannotFoldError("the forward of {} ({}) uses no bias", path, type(module).__name__)
    return path, module
