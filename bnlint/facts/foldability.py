"""What folding would do with each BatchNorm: from the same plan as `bnlint fold`, so that the two cannot disagree."""

from __future__ import annotations

import contextlib
from typing import Any

from torch import nn
from torch.export import ExportedProgram

from bnlint.artifacts.artifact import Artifact
from bnlint.errors import BnlintError, UsageError
from bnlint.facts.unknown import UNKNOWN
from bnlint.folding.assumed_rank import folds_of_assumed_rank
from bnlint.folding.plan import Kept, Plan
from bnlint.folding.planner import make_plan
from bnlint.folding.program import plan_program
from bnlint.tracing.kinds import How, NormKind
from bnlint.tracing.trace import Trace

_NOTHING: frozenset[str] = frozenset()
_TRAINS = "the program was exported in training mode"
_SECONDS = 10.0
"""Time for a run on inputs with one more axis, which are tried where bnlint assumed the inputs."""


class Foldability:
    """Answers for one model what can be folded.

    Args:
        artifact: The target; without a module or a program that can be run nothing is known.
        trace: Its trace; without a recorded run of a module nothing is known.
    """

    def __init__(self, artifact: Artifact, trace: Trace) -> None:
        plan = _plan_of(artifact, trace)
        self._into = {fold.layer: frozenset(fold.into) for fold in plan.folds}
        self._obstacles = {kept.layer: kept.cause for kept in plan.kept}

    def facts(self, layer: str, kind: NormKind) -> dict[str, Any]:
        """The folding facts of a layer, by field name of `NormFacts`."""
        if kind is not NormKind.BATCH:
            return {"foldable": None, "folds_into": _NOTHING, "fold_obstacle": None}
        if layer not in self._into and layer not in self._obstacles:
            return {"foldable": UNKNOWN}
        return {
            "foldable": layer in self._into,
            "folds_into": self._into.get(layer, _NOTHING),
            "fold_obstacle": self._obstacles.get(layer),
        }


def _plan_of(artifact: Artifact, trace: Trace) -> Plan:
    """The plan; an empty one where nothing is known."""
    if artifact.live_program is not None:
        with contextlib.suppress(BnlintError):  # without the inputs of an example, say
            return _plan_of_program(artifact.live_program, trace)
    if artifact.module is not None and trace.how in (How.RECORDED, How.RECORDED_WITH_VALUES):
        return _plan(artifact.module, trace)
    return Plan((), ())


def _plan_of_program(program: ExportedProgram, trace: Trace) -> Plan:
    try:
        return plan_program(program)
    except UsageError:
        calls = [call for call in trace.norm_calls if call.kind is NormKind.BATCH]
        if not any(call.uses_batch_statistics for call in calls):
            raise
        layers = dict.fromkeys(call.layer for call in calls)
        return Plan((), tuple(Kept(layer, _TRAINS, _TRAINS) for layer in layers))


def _plan(model: nn.Module, trace: Trace) -> Plan:
    planned = make_plan(model, trace)
    unsure = folds_of_assumed_rank(model, trace, planned, _SECONDS)
    return make_plan(model, trace, unsure) if unsure else planned
