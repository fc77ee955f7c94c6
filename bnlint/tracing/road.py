"""The road to a graph: the best way first, and a reason wherever it had to leave it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import fx, nn

from bnlint.errors import NotAnalysedError
from bnlint.interruption import OutOfTime
from bnlint.norms.classes import norm_kind
from bnlint.tracing.failure import describe, where
from bnlint.tracing.infer_inputs import guesses
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.kinds import How
from bnlint.tracing.live import named_modules
from bnlint.tracing.norm_calls import find_norm_calls
from bnlint.tracing.parts import add_parts
from bnlint.tracing.record import Record, record
from bnlint.tracing.sound_tree import sound_tree
from bnlint.tracing.suggest_input import suggested_flags
from bnlint.tracing.symbolic import Symbolic, symbolic
from bnlint.tracing.trace import Trace

DEFAULT_TIMEOUT = 60.0
"""Seconds for all attempts together."""

_LEAST = 1.0
"""Seconds that a fallback gets even if the attempts before it took all the time."""


def trace_module(
    model: nn.Module, inputs: Inputs | None = None, timeout: float = DEFAULT_TIMEOUT, *, values: bool = True
) -> Trace:
    """Get the best graph of a model.

    Args:
        model: The model; it is not changed.
        inputs: What to call it with; guessed if not given.
        timeout: Seconds for all attempts together.
        values: Whether a copy may be run with values in CPU memory, where its code needs them. The attributes of a
            model from a file of unknown origin can ask for any amount of memory.

    Returns:
        The trace. The reason of a failure of the model's code is in `Trace.reason`.

    Raises:
        NotAnalysedError: The modules of the model cannot be listed.
    """
    model = sound_tree(model).model
    try:
        return _best(model, inputs, timeout, values)
    except NotAnalysedError as error:  # something that it holds cannot be copied; the layers can be looked at
        return Trace(
            fx.Graph(), How.NONE, f"{error.cause[:1].lower()}{error.cause[1:].rstrip('.')}", error.hint, complete=False
        )


def _best(model: nn.Module, inputs: Inputs | None, timeout: float, values: bool) -> Trace:
    deadline = time.monotonic() + timeout
    best: tuple[Record, Inputs] | None = None
    for candidate in [inputs] if inputs is not None else guesses(model):
        recorded, how, reason = _record(model, candidate, deadline, values)
        if recorded.error is None:
            return _whole(recorded, candidate, how, reason)
        if best is None or len(recorded.norm_calls) > len(best[0].norm_calls):
            best = recorded, candidate
        if how is How.RECORDED_WITH_VALUES or isinstance(recorded.error, OutOfTime):
            break  # the guess was good enough to get that far, and the next would take as long
    return _fall_back(model, best, deadline)


def _record(model: nn.Module, inputs: Inputs, deadline: float, values: bool) -> tuple[Record, How, str]:
    recorded = record(model, inputs, timeout=_left(deadline))
    if recorded.error is None or not (values and recorded.needs_values) or isinstance(recorded.error, OutOfTime):
        return recorded, How.RECORDED, ""
    line = where(recorded.error)
    reason = f"the model's code needs values{f' at {line}' if line else ''}, so it was run on a copy in CPU memory"
    return record(model, inputs, values=True, timeout=_left(deadline)), How.RECORDED_WITH_VALUES, reason


def _whole(recorded: Record, inputs: Inputs, how: How, reason: str) -> Trace:
    return Trace(
        graph=recorded.graph,
        how=how,
        reason=reason,
        inputs=str(inputs),
        inputs_assumed=inputs.assumed,
        example=inputs,
        batch_size=inputs.batch_size,
        norm_calls=recorded.norm_calls,
        attributes=recorded.attributes,
        complete=recorded.unexplained == 0,
    )


def _fall_back(model: nn.Module, best: tuple[Record, Inputs] | None, deadline: float) -> Trace:
    """Without an input, or with a forward that fails: symbolic tracing, then parts, then nothing."""
    why, advice = _why(model, best)
    looped = best is not None and isinstance(best[0].error, OutOfTime)
    traced = None if looped else symbolic(model, max(_LEAST, _left(deadline)))  # the same code would loop again
    if isinstance(traced, Symbolic) and not traced.opaque:
        calls = _calls(traced.graph, traced.attributes, model)
        return Trace(traced.graph, How.SYMBOLIC, why, advice, norm_calls=calls, attributes=traced.attributes)
    if best is not None and best[0].norm_calls and not looped:
        graph, attributes, shown = best[0].graph, best[0].attributes, best[1]
    elif isinstance(traced, Symbolic):
        graph, attributes, shown = traced.graph, traced.attributes, None
    else:
        graph, attributes, shown = fx.Graph(), {}, best[1] if best is not None else None
    return replace(_partial(model, graph, attributes, shown, why, deadline), advice=advice)


def _why(model: nn.Module, best: tuple[Record, Inputs] | None) -> tuple[str, str]:
    """Why the model could not be recorded, and what would let it be."""
    flags = suggested_flags(model)
    if best is None:
        return f"no input is known; give one with {flags}", f"give an input with {flags}"
    failure, assumed = describe(best[0].error), best[1].assumed
    if isinstance(best[0].error, OutOfTime):
        return failure, "give the forward more time with `--timeout SECONDS`, or a smaller input"
    if not assumed:
        return failure, f"mend the forward, or give an input that it accepts with {flags}"
    return f"with the assumed input {best[1]} {failure}; give another with {flags}", f"give another input with {flags}"


def _partial(
    model: nn.Module,
    graph: fx.Graph,
    attributes: Mapping[str, Any],
    inputs: Inputs | None,
    why: str,
    deadline: float,
) -> Trace:
    seen = frozenset(call.layer for call in _calls(graph, attributes, model))
    together = add_parts(graph, attributes, model, seen, time.monotonic() + max(_LEAST, _left(deadline)))
    calls = _calls(graph, together, model)
    layers = {path for path, module in named_modules(model) if norm_kind(module) is not None}
    reached = len({call.layer for call in calls} & layers)
    return Trace(
        graph=graph,
        how=How.PARTIAL if calls else How.NONE,
        reason=f"{why}; {reached} of {len(layers)} normalisation layers were seen" if calls else why,
        inputs="" if inputs is None else str(inputs),
        inputs_assumed=inputs is not None and inputs.assumed,
        example=inputs,
        batch_size=None if inputs is None else inputs.batch_size,
        norm_calls=calls,
        attributes=together,
        complete=False,
    )


def _calls(graph: fx.Graph, attributes: Mapping[str, Any], model: nn.Module) -> tuple[Any, ...]:
    modules = dict(named_modules(model))
    return find_norm_calls(graph, attributes, modules, frozenset(modules))


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
