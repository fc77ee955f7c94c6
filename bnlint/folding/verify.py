"""Checks a folded file later: folds the original again and compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from bnlint.artifacts.user_code import described
from bnlint.errors import NotAnalysedError
from bnlint.folding.fold import FoldResult, fold
from bnlint.folding.program import fold_program, quiet_copies
from bnlint.folding.program_layers import with_layers
from bnlint.folding.prove import output_error
from bnlint.interruption import pass_on
from bnlint.tracing.door import looking_at_a_model
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.road import DEFAULT_TIMEOUT

_ROUNDINGS = 4
"""Units in the last place of a tensor's largest value by which two machines may differ."""


@dataclass(frozen=True)
class Verification:
    """How a folded model compares with its original.

    Attributes:
        differences: What is not as folding gives it, a sentence each; empty for a model that is right.
        error: Relative error of its outputs against the original in float64; `None` where it could not be run.
        tolerance: What that error may be.
        inputs_assumed: In words, the inputs that bnlint chose itself; empty where they were given.
    """

    differences: tuple[str, ...]
    error: float | None
    tolerance: float
    inputs_assumed: str = ""


def verify(
    original: nn.Module | ExportedProgram,
    folded: nn.Module | ExportedProgram | Mapping[str, Tensor],
    inputs: object = None,
    *,
    verify_inputs: Sequence[object] = (),
    timeout: float = DEFAULT_TIMEOUT,
) -> Verification:
    """Compare a folded model, or its weights, with what folding its original gives.

    Args:
        original: The original, in eval mode.
        folded: The folded model, of the same kind or exported, or its weights by name.
        inputs: What to call them with, as for `fold`.
        verify_inputs: Further inputs with values.
        timeout: Seconds for tracing.

    Returns:
        The differences in names, shapes, data types and values of the weights, and in the outputs.

    Raises:
        UsageError: If the original cannot be folded as it is.
        NotAnalysedError: If the original cannot be traced, or if its own fold cannot be proved.
    """
    if isinstance(original, ExportedProgram):
        done = fold_program(original, inputs, force=True, verify_inputs=verify_inputs, timeout=timeout)
        again, expected = done.result, done.program.state_dict
        with quiet_copies():
            module: nn.Module = with_layers(original).module
    else:
        as_graph = isinstance(folded, fx.GraphModule) and not isinstance(original, fx.GraphModule)
        again = fold(original, inputs, force=True, as_graph=as_graph, verify_inputs=verify_inputs, timeout=timeout)
        module, expected = original, _weights(again.model)
    if again.proof is None or not again.verified:
        raise NotAnalysedError("The original cannot be folded again: the proof fails.")
    tolerance = again.proof.tolerance
    weights = _weights(folded)
    if isinstance(folded, ExportedProgram):  # without what its graph does not use
        expected = {name: tensor for name, tensor in expected.items() if name in weights}
    differences = compare_weights(expected, weights)
    if differences and isinstance(folded, Mapping):
        return Verification(differences, None, tolerance)
    error = _error(module, _candidate(again, folded), again.inputs)
    if not error <= tolerance:
        far = f"The outputs differ from the original's by {error:.1e} of their size, tolerance {tolerance:.0e}."
        differences = (*differences, far)
    assumed = str(again.inputs[0]) if again.inputs_assumed else ""
    return Verification(differences, error, tolerance, assumed)


def _weights(folded: nn.Module | ExportedProgram | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if isinstance(folded, nn.Module):
        with looking_at_a_model("compared"):
            return folded.state_dict()
    return dict(folded.state_dict) if isinstance(folded, ExportedProgram) else folded


def compare_weights(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> tuple[str, ...]:
    """What differs between two sets of weights by more than rounding, a sentence each."""
    missing = [name for name in expected if name not in given]
    extra = [name for name in given if name not in expected]
    shared = [name for name in expected if name in given]
    kinds = [name for name in shared if not _same_kind(expected[name], given[name])]
    values = [name for name in shared if name not in kinds and not _same_values(expected[name], given[name])]
    sentences = (
        _sentence(missing, "missing"),
        _sentence(extra, "more than folding gives"),
        _sentence(kinds, "of another shape or data type than folding gives"),
        _sentence(values, "of other values than folding gives"),
    )
    return tuple(filter(None, sentences))


def _sentence(names: Sequence[str], what: str) -> str:
    if not names:
        return ""
    return f"`{names[0]}` is {what}." if len(names) == 1 else f"{len(names)} weights, `{names[0]}` first, are {what}."


def _same_kind(one: object, other: object) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return type(one) is type(other)
    return one.shape == other.shape and one.dtype == other.dtype


def _same_values(one: object, other: object) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return True
    one, other = one.detach().cpu(), other.detach().cpu()
    if torch.equal(one, other):
        return True
    if not one.is_floating_point():
        return False
    room = _ROUNDINGS * torch.finfo(one.dtype).eps * one.double().abs().max()
    return bool((one.double() - other.double()).abs().max() <= room)


def _candidate(again: FoldResult, folded: nn.Module | ExportedProgram | Mapping[str, Tensor]) -> nn.Module:
    if isinstance(folded, ExportedProgram):
        return folded.module()
    if isinstance(folded, nn.Module):
        return folded.eval()
    again.model.load_state_dict(dict(folded), strict=False)  # the names were compared; a program has more of them
    return again.model


def _error(original: nn.Module, candidate: nn.Module, inputs: Sequence[Inputs]) -> float:
    try:
        with quiet_copies():
            return output_error(original, candidate, inputs)
    except BaseException as error:  # the code of a model may raise anything
        pass_on(error)
        cause = f"The folded model cannot be run: {described(error)}."
        raise NotAnalysedError(cause) from error
