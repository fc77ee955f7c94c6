"""Folds a model and proves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from bnlint.artifacts.user_code import described
from bnlint.artifacts.wrappers import inside_wrappers
from bnlint.errors import BnlintError, NotAnalysedError, UsageError
from bnlint.folding.affine import affine_of
from bnlint.folding.apply import apply_plan, folded_copy, new_weights
from bnlint.folding.plan import Kept, Plan
from bnlint.folding.prove import Proof, prove, random_inputs
from bnlint.folding.randomness import refuse_randomness
from bnlint.folding.settled import layers_are, require_eval_mode, settle
from bnlint.interruption import pass_on
from bnlint.norms.tensors import COUNTER
from bnlint.tracing.copying.unwrapped import unwrapped
from bnlint.tracing.devices import lacks_values
from bnlint.tracing.door import looking_at_a_model
from bnlint.tracing.inputs import Inputs, as_inputs
from bnlint.tracing.live import members, submodule, tensors
from bnlint.tracing.road import DEFAULT_TIMEOUT


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
        Of a model that is wrapped, by `torch.compile` or `DataParallel`, it is the model inside.

    Raises:
        UsageError: If the model is in training mode, or has statistics that were never updated and `force` is false.
        NotAnalysedError: If it cannot be traced or run, gives other outputs each time, has no weights, or has
            statistics that are not finite.
    """
    if inplace and as_graph:
        raise UsageError("A fold as a graph makes a new module and cannot be done in place.", "Drop one of the two.")
    inside = unwrapped(model)
    result = _fold(inside.module, inputs, inplace, force, as_graph, verify_inputs, timeout)
    if not inplace:
        return result
    if result.verified:
        inside.give_back()
    return replace(result, model=inside_wrappers(model))


def _fold(
    model: nn.Module,
    inputs: object,
    inplace: bool,
    force: bool,
    as_graph: bool,
    verify_inputs: Sequence[object],
    timeout: float,
) -> FoldResult:
    further = [_with_values(item) for item in verify_inputs]
    first = further.pop(0) if inputs is None and further else inputs
    settled = settle(model, first, as_graph=as_graph, timeout=timeout)
    require_eval_mode(settled.plan)
    base, planned = settled.model, settled.plan
    _require_sound(base, planned, force)
    examples = (*_proof_inputs(settled.example, model), *further)
    folded = None if inplace else folded_copy(base, planned, new_weights(base, planned))
    proof = _prove(model, folded, planned, examples, base)
    if not proof.verified:
        refuse_randomness(model, settled.trace, examples)
    elif inplace:
        apply_plan(model, planned)
    folds = tuple(Fold(item.layer, item.into, item.through, proof.errors.get(item.layer)) for item in planned.folds)
    return FoldResult(model if folded is None else folded, folds, planned.kept, proof, examples)


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
        kept = (buffer for name, buffer in members(layer, "_buffers").items() if name != COUNTER)
        numbers = (affine.scale, affine.shift, *kept)  # an infinite variance hides in a scale of 0
        if not all(bool(torch.isfinite(tensor).all()) for tensor in numbers):
            raise NotAnalysedError(f"The statistics or the affine of {item.layer} are not finite.", "See BN502, BN503.")
    fresh = [item.layer for item in planned.folds if _never_updated(submodule(model, item.layer))]
    if fresh and not force:
        raise UsageError(
            f"{layers_are(fresh)} still at the initial statistics: no batch has updated them.",
            "Load the whole state first, or fold them as they are with `force` (`--force`).",
        )


def _never_updated(layer: nn.Module) -> bool:
    counter = getattr(layer, COUNTER, None)
    if not isinstance(counter, Tensor) or bool(counter.any()):
        return False
    return not bool(layer.running_mean.any()) and bool((layer.running_var == 1).all())  # type: ignore[operator,union-attr]
