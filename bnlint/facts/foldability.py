"""What folding would do with each BatchNorm: from the same plan as `bnlint fold`, so that the two cannot disagree."""

from __future__ import annotations

import contextlib
from typing import Any

from bnlint.artifacts.artifact import Artifact
from bnlint.errors import BnlintError
from bnlint.facts.unknown import UNKNOWN
from bnlint.folding.plan import Plan
from bnlint.folding.program import plan_program
from bnlint.folding.settled import settled_plan
from bnlint.norms.kinds import NormKind
from bnlint.tracing.kinds import How
from bnlint.tracing.trace import Trace

_NOTHING: frozenset[str] = frozenset()


class Foldability:
    """Answers for one model what can be folded.

    Args:
        artifact: The target; without a module or a program that can be run nothing is known, nor of a live graph of
            operators: what a fold would be made in is the model, or the program, that it comes from.
        trace: Its trace; without a recorded run of a module nothing is known.
    """

    def __init__(self, artifact: Artifact, trace: Trace) -> None:
        plan = _plan_of(artifact, trace)
        self._into = {fold.layer: frozenset(fold.into) for fold in plan.folds}
        lowered = set() if artifact.module is None else {call.layer for call in trace.norm_calls if call.lowered}
        self._obstacles = {kept.layer: kept.cause for kept in plan.kept if kept.layer not in lowered}

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
            return plan_program(artifact.live_program)
    if artifact.module is not None and trace.how in (How.RECORDED, How.RECORDED_WITH_VALUES):
        return settled_plan(artifact.module, trace)
    return Plan((), ())
