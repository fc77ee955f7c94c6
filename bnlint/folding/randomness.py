"""A model whose outputs are random cannot be proved to be the same after a fold, and says so itself."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bnlint.errors import NotAnalysedError
from bnlint.folding.prove import TOLERANCES, has_finite_outputs, output_difference
from bnlint.folding.variants import dtype_of
from bnlint.tracing.dropout import dropout_of, place_of_call
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.trace import Trace

_SHOWN = 3


def refuse_randomness(model: nn.Module, trace: Trace, inputs: Sequence[Inputs]) -> None:
    """Refuse a model that gives other outputs each time that it is run.

    Args:
        model: The original.
        trace: Its trace, which names the dropout.
        inputs: Inputs with values, on which the proof failed.

    Raises:
        NotAnalysedError: If its outputs differ between two runs by more than what a fold may change, or are not finite.
    """
    if output_difference(model, inputs) <= TOLERANCES.get(dtype_of(model), 1e-3):
        return
    if not has_finite_outputs(model, inputs):
        raise NotAnalysedError("The outputs of the model are not finite, so no fold of it can be proved.")
    cause = "The model gives other outputs each time that it is run, so no fold of it can be proved."
    layers, others = _active_dropout(trace)
    places = [*layers, *others]
    if not places:
        raise NotAnalysedError(cause, "Take the randomness out of `forward` in eval mode.")
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    hint = "Take it out, or have it obey `eval()`: see BN108." if others else "Call `model.eval()`, or give `--eval`."
    raise NotAnalysedError(f"{cause} Dropout is active: {', '.join(places[:_SHOWN])}{more}.", hint)


def _active_dropout(trace: Trace) -> tuple[list[str], list[str]]:
    """Dropout layers that `eval()` would switch off, and the layers and source lines that it would not."""
    layers: dict[str, None] = {}
    others: dict[str, None] = {}
    for node in trace.graph.nodes:
        dropout = dropout_of(node, trace.attributes)
        if dropout is None or not dropout.active:
            continue
        if dropout.of_a_function:
            others[place_of_call(node)] = None
        else:
            found = others if "training" in node.meta else layers  # there, the forward itself has switched it on
            found[str(node.meta.get("layer", node.target))] = None
    return list(layers), list(others)
