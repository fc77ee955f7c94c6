"""What stands in the place of a folded BatchNorm: nothing, or the activation that its class also applies."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import fx, nn

from bnlint.folding.reasons import CannotFoldError
from bnlint.norms.classes import has_torch_forward
from bnlint.tracing.live import children
from bnlint.tracing.trace import NormCall, Trace
from bnlint.user_objects import is_set


@dataclass(frozen=True)
class Remainder:
    """The children of a normalisation layer that still have to be called, in their order.

    Attributes:
        names: Names of the children; empty where the layer is nothing but normalisation.
    """

    names: tuple[str, ...] = ()

    def build(self, layer: nn.Module) -> nn.Module:
        """The module that takes the place of the layer; it pickles without bnlint and keeps its children's names."""
        if not self.names:
            return nn.Identity().train(is_set(layer, "training"))
        inner = children(layer)
        kept = OrderedDict((name, inner[name]) for name in self.names)
        return nn.Sequential(kept).train(is_set(layer, "training"))


def nodes_inside(trace: Trace) -> Mapping[str, Sequence[fx.Node]]:
    """The nodes of each normalisation layer's own forward and of its children, in call order, in one pass.

    Args:
        trace: The graph.
    """
    inside: dict[str, list[fx.Node]] = {call.layer: [] for call in trace.norm_calls}
    for node in trace.graph.nodes:
        path = _owner(node)
        while path:
            if path in inside:
                inside[path].append(node)
            path = path.rpartition(".")[0]
    return inside


def remainder(call: NormCall, inside: Sequence[fx.Node]) -> Remainder:
    """What a layer does besides normalising.

    Args:
        call: One call of the layer.
        inside: What `nodes_inside` says of the layer.

    Raises:
        CannotFoldError: If it does more than to call its children one after the other on the normalised values.
    """
    if call.module is None:
        raise CannotFoldError(
            "{} calls it as a function, which only a graph can do without (--as graph)",
            call.node.meta.get("module") or "the model",
        )
    if call.node.op == "call_module" or has_torch_forward(call.module):
        return Remainder()
    names: dict[str, None] = {}
    for node in inside:
        owner = _owner(node)
        if owner != call.layer:
            names[owner.removeprefix(f"{call.layer}.").partition(".")[0]] = None
        elif node.meta.get("layer") != call.layer:
            raise CannotFoldError("{} does more in its forward than normalise", type(call.module).__name__)
    _require_chain(call.node, call.layer, len(names))
    return Remainder(tuple(names))


def _owner(node: fx.Node) -> str:
    """The path of the module that is called, or whose forward calls a function; empty for the model."""
    return node.meta.get("layer" if node.op == "call_module" else "module") or ""


def _require_chain(node: fx.Node, layer: str, length: int) -> None:
    """The children must be called on the normalised values, not on the input as well."""
    source = node.args[0]
    for user in source.users if isinstance(source, fx.Node) else ():
        owner = str(user.meta.get("layer", user.meta.get("module", "")))
        if user is not node and owner.startswith(f"{layer}."):
            raise CannotFoldError("{} uses its input for more than normalising", layer)
    if length and len(node.users) != 1:
        raise CannotFoldError("{} uses the normalised values several times", layer)
