"""The only way to a plan: what the graph allows, the model's own code does not miss, and the data type can hold.

Facts, `plan`, `fold`, `fold --dry-run` and programs all come here, so that none of them promises what another refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from bnlint.errors import NotAnalysedError, UsageError
from bnlint.folding.assumed_rank import folds_of_assumed_rank
from bnlint.folding.graph_form import graph_form
from bnlint.folding.plan import Plan
from bnlint.folding.planner import make_plan
from bnlint.folding.reasons import TRAINING_MODE
from bnlint.folding.rehearsal import rehearsed_plan
from bnlint.folding.within_precision import within_precision
from bnlint.tracing.copying.unwrapped import unwrapped
from bnlint.tracing.door import looking_at_a_model
from bnlint.tracing.inputs import Inputs, as_inputs
from bnlint.tracing.kinds import How
from bnlint.tracing.road import DEFAULT_TIMEOUT, trace_module
from bnlint.tracing.sound_tree import sound_tree
from bnlint.tracing.trace import Trace


@dataclass(frozen=True)
class Settled:
    """What a fold will do.

    Attributes:
        model: What the plan is of: the model itself, or a graph of it.
        trace: Its trace.
        example: The inputs of the traced run.
        plan: The plan.
    """

    model: nn.Module
    trace: Trace
    example: Inputs
    plan: Plan


@looking_at_a_model("folded")
def plan(model: nn.Module, inputs: object = None, timeout: float = DEFAULT_TIMEOUT) -> Plan:
    """Decide what can be folded into what.

    Args:
        model: The model, in eval mode; it is not changed.
        inputs: What to call it with, as for `bnlint.check`; guessed if not given.
        timeout: Seconds for tracing.

    Returns:
        The verdict on every BatchNorm: what `bnlint.fold` would do with it.
    """
    model = unwrapped(model).module
    _require_readable(model)
    trace = trace_module(model, None if inputs is None else as_inputs(inputs), timeout)
    return settled_plan(model, trace, timeout)


def settled_plan(model: nn.Module, trace: Trace, timeout: float = DEFAULT_TIMEOUT) -> Plan:
    """The plan of a traced model.

    Args:
        model: The model; it is not changed.
        trace: Its trace.
        timeout: Seconds for each run of the folded structure.

    Returns:
        The plan without the folds that the model's own code would notice, without those that its data type cannot
        hold, where weights are at hand, and without those that hold only for an assumed rank of the inputs.
    """
    planned = make_plan(model, trace)
    if unsure := folds_of_assumed_rank(model, trace, planned, timeout):
        planned = make_plan(model, trace, unsure)

    def replan(keep: Mapping[str, tuple[str, ...]]) -> Plan:
        return rehearsed_plan(model, trace, make_plan(model, trace, keep), timeout)

    return within_precision(model, rehearsed_plan(model, trace, planned, timeout), replan)


def settle(model: nn.Module, inputs: object, *, as_graph: bool = False, timeout: float = DEFAULT_TIMEOUT) -> Settled:
    """Trace a model and settle what a fold of it does.

    Args:
        model: The model; it is not changed.
        inputs: What to call it with, as for `bnlint.fold`.
        as_graph: Plan a graph of the model, if it is in eval mode.
        timeout: Seconds for tracing, and for each run of the folded structure.

    Raises:
        NotAnalysedError: If no run could be recorded.
    """
    trace, example = _trace(model, inputs, timeout)
    if as_graph and not _training(make_plan(model, trace)):
        model = graph_form(trace)
        trace, example = _trace(model, example, timeout)
    return Settled(model, trace, example, settled_plan(model, trace, timeout))


def _trace(model: nn.Module, inputs: object, timeout: float) -> tuple[Trace, Inputs]:
    _require_readable(model)
    trace = trace_module(model, None if inputs is None else as_inputs(inputs), timeout)
    if trace.how not in (How.RECORDED, How.RECORDED_WITH_VALUES) or trace.example is None:
        raise NotAnalysedError(f"The model cannot be folded, since it could not be run: {trace.reason}.")
    return trace, trace.example


def _require_readable(model: nn.Module) -> None:
    for path, why in sound_tree(model).unread.items():
        what = f"`{path}`" if path else "It"
        raise NotAnalysedError(f"The model cannot be folded. {what} cannot be read: {why}.")


def require_eval_mode(planned: Plan) -> None:
    """Refuse a model with BatchNorm layers in training mode.

    Raises:
        UsageError: If there is one.
    """
    training = _training(planned)
    if training:
        hint = "Call model.eval() first, or give `--eval` on the command line."
        raise UsageError(f"{layers_are(training)} in training mode.", hint)


def layers_are(paths: Sequence[str]) -> str:
    """The subject of a sentence about BatchNorm layers, and its verb."""
    return f"{paths[0]} is" if len(paths) == 1 else f"{len(paths)} BatchNorm layers, {paths[0]} first, are"


def _training(planned: Plan) -> Sequence[str]:
    return [kept.layer for kept in planned.kept if kept.cause == TRAINING_MODE]
