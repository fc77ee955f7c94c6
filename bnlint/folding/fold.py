"""The public functions of folding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bnlint.artifacts.user_code import described
from bnlint.errors import BnlintError, NotAnalysedError, UsageError
from bnlint.folding.affine import affine_of
from bnlint.folding.apply import apply_plan, folded_copy
from bnlint.folding.assumed_rank import folds_of_assumed_rank
from bnlint.folding.graph_form import graph_form
from bnlint.folding.plan import Kept, Plan
from bnlint.folding.planner import make_plan
from bnlint.folding.prove import Proof, prove, random_inputs
from bnlint.folding.randomness import refuse_randomness
from bnlint.folding.rehearsal import rehearsed_plan
from bnlint.folding.within_precision import Replan, cast_within_precision, within_precision
from bnlint.tracing.devices import lacks_values
from bnlint.tracing.door import looking_at_a_model
from bnlint.tracing.inputs import Inputs, as_inputs
from bnlint.tracing.interruption import pass_on
from bnlint.tracing.kinds import How
from bnlint.tracing.live import members, submodule, tensors
from bnlint.tracing.road import DEFAULT_TIMEOUT, trace_module
from bnlint.tracing.sound_tree import sound_tree
from bnlint.tracing.trace import Trace


@dataclass(frozen=True)
class Fold:
    """One BatchNorm that was folded.

    Attributes:
        layer: Path of the BatchNorm.
        into: Paths of the layers that absorbed it.
        through: Names of the operators between.
        error: Relative error at its output, in float64; `None` where its affine moved past its output, or without a
            proof.
    """

    layer: str
    into: tuple[str, ...]
    through: tuple[str, ...]
    error: float | None


@dataclass(frozen=True)
class FoldResult:
    """A folded model and the proof.

    Attributes:
        model: The folded model: a plain module of the class of the original.
        folds: What was folded.
        kept: What stays, each with its reason.
        proof: The proof; `None` where none was asked for.
        inputs: What the proof was run on.
    """

    model: nn.Module
    folds: tuple[Fold, ...]
    kept: tuple[Kept, ...]
    proof: Proof | None
    inputs: tuple[Inputs, ...] = ()

    @property
    def max_error(self) -> float | None:
        """Relative error of the outputs, in the model's data type against float64; `None` without a proof."""
        return None if self.proof is None else self.proof.max_error

    @property
    def inputs_assumed(self) -> bool:
        """Whether bnlint chose the shape of the first inputs itself."""
        return any(inputs.assumed for inputs in self.inputs)

    @property
    def verified(self) -> bool:
        """Whether a proof was made and holds."""
        return self.proof is not None and self.proof.verified


@looking_at_a_model("folded")
def plan(model: nn.Module, inputs: object = None, timeout: float = DEFAULT_TIMEOUT) -> Plan:
    """Decide what can be folded into what; weights are read only where they are in half precision.

    Args:
        model: The model, in eval mode; it is not changed.
        inputs: What to call it with, as for `bnlint.check`; guessed if not given.
        timeout: Seconds for tracing.

    Returns:
        The verdict on every BatchNorm.
    """
    _require_readable(model)
    trace = trace_module(model, None if inputs is None else as_inputs(inputs), timeout)
    return settled_plan(model, trace, timeout)


def settled_plan(model: nn.Module, trace: Trace, timeout: float) -> Plan:
    """The plan of a traced model, as far as it can be told without doing it.

    Args:
        model: The model; it is not changed.
        trace: Its trace.
        timeout: Seconds for each run of the folded structure.

    Returns:
        The plan without the folds that the model's own code would notice, and without those that its half precision
        cannot hold, where weights are at hand. Folds that hold only for an assumed rank of the inputs are left out.
    """
    unsure = folds_of_assumed_rank(model, trace, make_plan(model, trace), timeout)
    replan = partial(rehearsed_plan, model, trace, timeout)
    return within_precision(model, replan(unsure), replan, half_only=True)


@looking_at_a_model("folded")
def fold(
    model: nn.Module,
    inputs: object = None,
    *,
    inplace: bool = False,
    force: bool = False,
    as_graph: bool = False,
    verify_inputs: Sequence[object] = (),
    timeout: float = DEFAULT_TIMEOUT,
) -> FoldResult:
    """Fold every BatchNorm that can be folded, and prove that the outputs are the same.

    Args:
        model: The model, in eval mode, with weights.
        inputs: What to call it with; tensors with values are used for the proof, beside random ones.
        inplace: Fold the model itself rather than a copy, once the proof has held; no second copy of the weights is
            made.
        force: Fold never-updated statistics too.
        as_graph: Give back a `torch.fx.GraphModule`, specialised to the traced shapes, rather than a module of the
            model's own class. It can also fold BatchNorms that are called as functions, and layers that are shared.
        verify_inputs: Further inputs with values for the proof, each as `inputs`.
        timeout: Seconds for tracing.

    Returns:
        The folded model and the proof. Where the proof fails, `verified` is false and an in-place fold is not done.

    Raises:
        UsageError: If the model is in training mode, or has statistics that were never updated and `force` is false.
        NotAnalysedError: If it cannot be traced or run, gives other outputs each time, has no weights, or has
            statistics that are not finite.
    """
    if inplace and as_graph:
        raise UsageError("A fold as a graph makes a new module and cannot be done in place.", "Drop one of the two.")
    further = [_with_values(item) for item in verify_inputs]
    first = further.pop(0) if inputs is None and further else inputs
    trace, example = trace_to_fold(model, first, timeout)
    require_eval_mode(make_plan(model, trace))
    base = model
    if as_graph:
        base = graph_form(trace)
        trace, _ = trace_to_fold(base, example, timeout)
    replan: Replan = partial(make_plan, base, trace)
    unsure = folds_of_assumed_rank(base, trace, replan({}), timeout)
    planned = replan(unsure)
    _require_sound(base, planned, force)
    examples = (*_proof_inputs(example, model), *further)
    try:
        attempt = _attempt(model, base, planned, replan, examples, inplace)
    except NotAnalysedError:
        attempt = None
    if attempt is not None and not attempt.proof.verified:
        refuse_randomness(model, trace, examples)
    if attempt is None or not attempt.proof.verified:  # does the model's own code miss what was folded?
        replan = partial(rehearsed_plan, base, trace, timeout)
        settled = replan(unsure)
        if attempt is None or len(settled.folds) < len(planned.folds):
            attempt = _attempt(model, base, settled, replan, examples, inplace)
    return attempt.result(examples)


@dataclass(frozen=True)
class _Attempt:
    """A fold, and how well it went."""

    model: nn.Module
    plan: Plan
    proof: Proof

    def result(self, examples: tuple[Inputs, ...]) -> FoldResult:
        errors = self.proof.errors
        folds = tuple(Fold(item.layer, item.into, item.through, errors.get(item.layer)) for item in self.plan.folds)
        return FoldResult(self.model, folds, self.plan.kept, self.proof, examples)


def _attempt(
    model: nn.Module, base: nn.Module, planned: Plan, replan: Replan, examples: Sequence[Inputs], inplace: bool
) -> _Attempt:
    if not inplace:
        planned, weights = cast_within_precision(base, planned, replan)
        folded = folded_copy(base, planned, weights)
        return _Attempt(folded, planned, _prove(model, folded, planned, examples, base))
    planned = within_precision(model, planned, replan)
    proof = _prove(model, None, planned, examples, model)
    if proof.verified:
        apply_plan(model, planned)
    return _Attempt(model, planned, proof)


def trace_to_fold(model: nn.Module, inputs: object, timeout: float) -> tuple[Trace, Inputs]:
    """Trace a model for folding, as `fold` does.

    Returns:
        The trace, and the inputs of its run.

    Raises:
        NotAnalysedError: If no run could be recorded.
    """
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
    training = [kept.layer for kept in planned.kept if "training mode" in kept.reason]
    if training:
        raise UsageError(
            f"{_layers(training)} in training mode.", "Call model.eval() first, or give `--eval` on the command line."
        )


def _prove(
    model: nn.Module, folded: nn.Module | None, planned: Plan, examples: Sequence[Inputs], planned_on: nn.Module
) -> Proof:
    try:
        return prove(model, folded, planned, examples, planned_on)
    except BnlintError:
        raise
    except BaseException as error:  # the code of a model may raise anything
        pass_on(error)
        shapes = "; ".join(dict.fromkeys(map(str, examples)))
        cause = f"The proof could not be run with {shapes}: {described(error)}."
        raise NotAnalysedError(cause) from error


def _with_values(given: object) -> Inputs:
    inputs = as_inputs(given)
    if any(tensor.is_meta for tensor in inputs.tensors()):
        raise UsageError(f"{inputs} has a shape but no values to verify with.", "Give tensors, or a .pt or .npz file.")
    return inputs


def _layers(paths: Sequence[str]) -> str:
    return f"{paths[0]} is" if len(paths) == 1 else f"{len(paths)} BatchNorm layers, {paths[0]} first, are"


def _proof_inputs(example: Inputs, model: nn.Module) -> list[Inputs]:
    given = [] if any(tensor.is_meta for tensor in example.tensors()) else [example]
    return [*given, random_inputs(example, model)]


def _require_sound(model: nn.Module, planned: Plan, force: bool) -> None:
    """Refuse what would fold a mistake into the weights for good."""
    if any(lacks_values(tensor) and not tensor.is_meta for tensor in tensors(model)):
        raise NotAnalysedError("The model has no weights: its tensors are fake.", "Load weights first.")
    for item in planned.folds:
        for path in (item.layer, *item.into):
            if any(tensor.is_meta for tensor in tensors(submodule(model, path))):
                raise NotAnalysedError(f"{path} has no weights: it is on the meta device.", "Load weights first.")
        layer = submodule(model, item.layer)
        affine = affine_of(layer)
        kept = (buffer for name, buffer in members(layer, "_buffers").items() if name != "num_batches_tracked")
        numbers = (affine.scale, affine.shift, *kept)  # an infinite variance hides in a scale of 0
        if not all(bool(torch.isfinite(tensor).all()) for tensor in numbers):
            raise NotAnalysedError(f"The statistics or the affine of {item.layer} are not finite.", "See BN502, BN503.")
    fresh = [item.layer for item in planned.folds if _never_updated(submodule(model, item.layer))]
    if fresh and not force:
        raise UsageError(
            f"{_layers(fresh)} still at the initial statistics: no batch has updated them.",
            "Load the whole state first, or fold them as they are with `force` (`--force`).",
        )


def _never_updated(layer: nn.Module) -> bool:
    counter = getattr(layer, "num_batches_tracked", None)
    if not isinstance(counter, Tensor) or bool(counter.any()):
        return False
    return not bool(layer.running_mean.any()) and bool((layer.running_var == 1).all())  # type: ignore[operator,union-attr]
