"""Folding of an exported program: on a module of its layers, and then in the program itself."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from bnlint.artifacts.user_code import described
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.folding.fold import FoldResult, fold
from bnlint.folding.plan import Kept, Plan
from bnlint.folding.program_edit import edited
from bnlint.folding.program_layers import with_layers
from bnlint.folding.prove import output_error
from bnlint.folding.reasons import EXPORTED_IN_TRAINING_MODE
from bnlint.folding.settled import settle
from bnlint.tracing.door import looking_at_a_model
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.road import DEFAULT_TIMEOUT


@dataclass(frozen=True)
class ProgramFold:
    """A folded program.

    Attributes:
        program: The folded program, or the original where the module of its layers could not be proved.
        result: The fold and its proof; `result.model` computes the same with layers.
        notes: Remarks on the program.
    """

    program: ExportedProgram
    result: FoldResult
    notes: tuple[str, ...] = ()


@looking_at_a_model("folded")
def fold_program(
    program: ExportedProgram,
    inputs: object = None,
    *,
    force: bool = False,
    verify_inputs: Sequence[object] = (),
    timeout: float = DEFAULT_TIMEOUT,
) -> ProgramFold:
    """Fold every BatchNorm of an exported program that can be folded, and prove that the outputs are the same.

    Args:
        program: The program, exported in eval mode; it is not changed.
        inputs: As for `fold`; those that it was exported with, if not given.
        force: As for `fold`.
        verify_inputs: As for `fold`.
        timeout: Seconds for tracing.

    Returns:
        The folded program, of the same dialect and with the same dynamic shapes, and the proof.

    Raises:
        UsageError: If it was exported in training mode, or has no inputs and none are given.
        NotAnalysedError: As for `fold`.
    """
    given = example_inputs(program) if inputs is None and not verify_inputs else inputs
    with quiet_copies():
        layers = with_layers(program)
        require_inference(layers.kept)
        result = fold(layers.module, given, force=force, verify_inputs=verify_inputs, timeout=timeout)
        result = replace(result, kept=layers.all_kept(result.kept))
        if not result.verified:
            return ProgramFold(program, result)
        folded = edited(program, layers, result.model, {item.layer for item in result.folds})
        return ProgramFold(folded, _proved(layers.module, folded, result))


@looking_at_a_model("folded")
def plan_program(program: ExportedProgram, inputs: object = None, timeout: float = DEFAULT_TIMEOUT) -> Plan:
    """What folding would do with the BatchNorms of an exported program, by their paths in the original model.

    Args:
        program: The program; it is not changed.
        inputs: As for `fold_program`.
        timeout: Seconds for tracing.

    Returns:
        The plan; calls that were exported in training mode are kept.

    Raises:
        UsageError: If it has no inputs and none are given.
        NotAnalysedError: If it cannot be traced.
    """
    with quiet_copies():
        layers = with_layers(program)
    planned = settle(layers.module, example_inputs(program) if inputs is None else inputs, timeout=timeout).plan
    return Plan(planned.folds, layers.all_kept(planned.kept))


def require_inference(kept: Sequence[Kept]) -> None:
    """Refuse a program with BatchNorm that was exported in training mode.

    Args:
        kept: What stays in it.

    Raises:
        UsageError: If there is one.
    """
    if any(item.cause == EXPORTED_IN_TRAINING_MODE for item in kept):
        cause = "The program was exported in training mode: its BatchNorm uses the statistics of the batch."
        raise UsageError(cause, "Call model.eval() first, and export the model again.")


@looking_at_a_model("exported")
def export_folded(original: nn.Module, result: FoldResult) -> ProgramFold:
    """Export a folded module, and prove the program as well.

    Args:
        original: The model that was folded.
        result: The fold.

    Returns:
        The program, for the shapes of the first inputs of the proof; the size of their first axis stays free where
        the model allows it.

    Raises:
        NotAnalysedError: If the model cannot be exported.
    """
    first = result.inputs[0]
    free = None if first.kwargs else tuple(_free_batch(value) for value in first.args)
    try:
        program = torch.export.export(result.model, first.args, dict(first.kwargs), dynamic_shapes=free)
    except Exception as error:  # export runs the code of the model, and refuses much of it
        cause = f"The folded model cannot be exported: {described(error)}."
        raise NotAnalysedError(cause, "Give an output that ends in .pt or .safetensors.") from error
    size = "any batch size" if program.range_constraints else "that batch size"
    with quiet_copies():
        result = _proved(original, program, result)
    return ProgramFold(program, result, (f"Exported for {first}, {size}.",))


def _free_batch(value: object) -> dict[int, object] | None:
    return {0: Dim.AUTO} if isinstance(value, Tensor) and value.dim() else None


def _proved(original: nn.Module, program: ExportedProgram, result: FoldResult) -> FoldResult:
    """The fold with the verdict on the program that is written: what was proved so far is a module."""
    if result.proof is None:
        return result
    error = max(result.proof.max_error, _error(original, program, result))
    within = error <= result.proof.tolerance
    return replace(result, proof=replace(result.proof, max_error=error, verified=result.verified and within))


@contextlib.contextmanager
def quiet_copies() -> Iterator[None]:
    """Without what torch says of its own code whenever a graph with structured inputs is copied."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*LeafSpec", category=FutureWarning)
        yield


def example_inputs(program: ExportedProgram) -> Inputs:
    """The inputs that a program was exported with.

    Raises:
        UsageError: If it has none.
    """
    if program.example_inputs is None:
        raise UsageError("The program has no example inputs to verify with.", "Give `--input` or `--verify-inputs`.")
    args, kwargs = program.example_inputs
    return Inputs(tuple(args), dict(kwargs))


def _error(original: nn.Module, folded: ExportedProgram, result: FoldResult) -> float:
    """How far the program that is written is from the original: what was proved so far are the layers."""
    try:
        return output_error(original, folded.module(), result.inputs)
    except Exception as error:
        cause = f"The folded program cannot be run: {described(error)}."
        raise NotAnalysedError(cause, "Give inputs of the shapes that it is exported for.") from error
