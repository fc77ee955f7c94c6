"""Where dropout shifts the variance before a normalisation, and where it ignores `eval()`."""

from __future__ import annotations

from torch import fx, nn

from bnlint.facts.flow import Flow
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.tracing.dropout import Dropout, dropout_of, place_of_call
from bnlint.tracing.kinds import How, Role
from bnlint.tracing.live import named_modules, submodule
from bnlint.tracing.trace import NormCall, Trace
from bnlint.user_objects import is_set

_VALUE_BY_VALUE = frozenset({
    Role.MOVE, Role.PART, Role.CONCATENATION, Role.ACTIVATION, Role.ADDITION, Role.MULTIPLICATION, Role.DROPOUT,
    Role.PADDING, Role.UPSAMPLING,
})  # fmt: skip
"""Roles that do not average over values. A convolution or a linear layer takes in hundreds, whose errors average out:
Li et al. 2019, arXiv:1801.05134."""


class DropoutBefore:
    """Follows the dropout of training down a graph, whatever mode the graph was traced in.

    Args:
        trace: The trace.
        flow: The edges of its graph along which values travel.
        model: The model; `None` where there is none.
    """

    def __init__(self, trace: Trace, flow: Flow, model: nn.Module | None) -> None:
        self._flow = flow
        self._model_training = model is not None and is_set(model, "training")
        self._reaching: dict[fx.Node, Maybe[float]] = {}
        for node in flow.nodes:
            role: Role = node.meta.get("role", Role.UNKNOWN)
            if role is Role.UNKNOWN:
                self._reaching[node] = UNKNOWN
                continue
            before = self._strongest(list(flow.sources(node))) if role in _VALUE_BY_VALUE else 0.0
            dropout = dropout_of(node, trace.attributes) if role is Role.DROPOUT else None
            drops = dropout is not None and dropout.changes_variance and not self._held(dropout)
            own = dropout.probability if dropout is not None and drops else 0.0
            self._reaching[node] = max(before, own) if before is not UNKNOWN else own or UNKNOWN

    def of(self, call: NormCall) -> Maybe[float]:
        """The largest probability of the dropouts that reach a call value by value; 0 without any."""
        if call.input_node is None:
            return UNKNOWN
        return self._strongest(self._flow.values(call.input_node, call.node))

    def _strongest(self, nodes: list[fx.Node]) -> Maybe[float]:
        reaching = [self._reaching[node] for node in nodes]
        known = max((value for value in reaching if value is not UNKNOWN), default=0.0)
        return known or (UNKNOWN if any(value is UNKNOWN for value in reaching) else 0.0)

    def _held(self, dropout: Dropout) -> bool:
        """Whether dropout is switched off while the model trains."""
        return self._model_training and not dropout.training


def dropouts_ignoring_eval(trace: Trace, model: nn.Module | None, mode_known: bool) -> Maybe[frozenset[str]]:
    """The places where values are dropped although the module that asks for it is in eval mode.

    A function drops by its argument: `F.dropout(x)` is `training=True`, and the `dropout_p` of an attention function
    knows no mode. A dropout module obeys its own flag, which `eval()` does not reach outside the module tree, and which
    a `forward` may switch. In an exported program the flag is a part of the program.

    Args:
        trace: The trace.
        model: The model; `None` for an exported program.
        mode_known: Whether the training flags of `model` were set by its owner.

    Returns:
        Source lines, or the paths of modules that are outside the module tree or switched; unknown where nothing was
        found and a function drops in a module in training mode, which may be what its author means.
    """
    registered = frozenset() if model is None else frozenset(path for path, _ in named_modules(model))
    places: set[str] = set()
    undecided = not trace.complete or trace.how is How.NONE
    for node in trace.graph.nodes:
        dropout = dropout_of(node, trace.attributes)
        if dropout is None or not dropout.active:
            continue
        if not dropout.of_a_function:
            path = node.meta.get("layer", str(node.target))
            switched = mode_known and node.meta.get("training") is True  # by the code of the model, while it runs
            places |= {path} if switched else {path} - registered
        elif trace.how is How.EXPORTED or (mode_known and not _owner_trains(node, model)):
            places.add(place_of_call(node))
        else:
            undecided = True
    return frozenset(places) if places or not undecided else UNKNOWN


def _owner_trains(node: fx.Node, model: nn.Module | None) -> bool:
    """The training flag of the module whose code calls a function."""
    if model is None:
        return False
    stack = node.meta.get("nn_module_stack") or {}
    path = node.meta.get("module", next(reversed(stack.values()))[0] if stack else "")
    try:
        owner = submodule(model, path)
    except KeyError:  # a module outside the module tree
        owner = model
    return is_set(owner, "training")


def why_dropouts_unknown(trace: Trace, found: Maybe[frozenset[str]]) -> dict[str, str]:
    """Why it is not known which dropouts ignore `eval()`, by name of the fact; empty where it is, and without a graph.

    Args:
        trace: The trace.
        found: What `dropouts_ignoring_eval` says.
    """
    if found is not UNKNOWN or trace.how is How.NONE or not trace.complete:
        return {}
    found_in = ((node, dropout_of(node, trace.attributes)) for node in trace.graph.nodes)
    place = next((place_of_call(node) for node, one in found_in if one and one.of_a_function and one.active), "")
    why = f"the model is in training mode, where dropout as at {place} is right: only after `eval()` can it be told"
    return {"dropouts_ignoring_eval": why}
