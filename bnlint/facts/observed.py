"""The facts that come from running a copy of the model: its modes, its dry run, padding, and real data."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Need
from bnlint.norms.kinds import NormKind
from bnlint.running.observations import Observations

T = TypeVar("T")


class Observed:
    """Answers for one target what was observed.

    Args:
        observations: What was observed.
        is_program: Whether the target is an exported program, which has no modes.
    """

    def __init__(self, observations: Observations, is_program: bool) -> None:
        self._seen = observations
        self._is_program = is_program
        layers = observations.data.layers if observations.data is not None else None
        distances = [drift.distance for drift in (layers or {}).values() if drift is not None]
        self._median = statistics.median(distances) if distances else None

    @property
    def available(self) -> frozenset[Need]:
        """The sources of facts that were at hand."""
        seen = self._seen
        at_hand = {Need.RUN: seen.dry_run, Need.PADDING: seen.padding, Need.DATA: seen.data}
        return frozenset(need for need, observed in at_hand.items() if observed is not None)

    @property
    def reasons(self) -> dict[str, str]:
        """Why facts that come from a run are unknown although there was one, by name of the fact."""
        failed = {} if self._seen.dry_run is None else self._seen.dry_run.reasons
        return {fact: failed[part] for fact, part in _PARTS_OF_A_RUN.items() if part in failed}

    def norm(self, layer: str, kind: NormKind) -> dict[str, Any]:
        """The facts of a layer, by field name of `NormFacts`."""
        run, padding = self._seen.dry_run, self._seen.padding
        facts = self._modes(layer) | self._drift(layer, kind)
        if run is not None:
            facts["statistics_move_in_eval"] = _known(run.moved_in_eval, layer)
            facts["updates_per_forward"] = _known(run.updates, layer)
        if padding is not None:
            enters = _known(padding.enters, layer)
            cannot_tell = padding.enters is not None and enters is None and layer in padding.enters
            facts["padding_enters_statistics"] = UNKNOWN if cannot_tell else enters
        return facts

    def _modes(self, layer: str) -> dict[str, Any]:
        modes = self._seen.modes
        if modes is None:
            nothing = None if self._is_program else UNKNOWN
            return dict.fromkeys(("training_after_eval", "training_after_train", "held_in_training_by"), nothing)
        return {
            "training_after_eval": modes.training_after_eval.get(layer),
            "training_after_train": modes.training_after_train.get(layer),
            "held_in_training_by": modes.holders.get(layer),
        }

    def _drift(self, layer: str, kind: NormKind) -> dict[str, Any]:
        data = self._seen.data
        if data is None:
            return {}
        drift = None if data.layers is None else data.layers.get(layer)
        if drift is None:
            reached = data.layers is None or layer in data.layers  # other kinds keep no statistics to compare
            return dict.fromkeys(_DRIFT_FACTS, UNKNOWN if reached and kind is NormKind.BATCH else None)
        values = (drift.distance, drift.own_distance, self._median, drift.mean_shift, drift.spread_ratio)
        return dict(zip(_DRIFT_FACTS, (*values, drift.worst_channel, drift.worst_distance), strict=True))

    def model(self, norms: Iterable[NormFacts]) -> dict[str, Any]:
        """The facts of the model, by field name of `ModelFacts`.

        Args:
            norms: The records of its normalisation layers.
        """
        run = self._seen.dry_run
        if run is None or run.batch_dependence is None:
            return {}
        found = run.batch_dependence
        return {
            "output_depends_on_batch": found.depends,
            "samples_meet_in": f"{found.module or 'the model itself'} ({found.module_class})"
            if found.module is not None
            else None,
            "samples_meet_in_batch_norm": _explained(found.module, norms) if found.depends else None,
        }


_PARTS_OF_A_RUN = {
    "statistics_move_in_eval": "moved_in_eval",
    "updates_per_forward": "updates",
    "output_depends_on_batch": "batch_dependence",
    "samples_meet_in": "batch_dependence",
    "samples_meet_in_batch_norm": "batch_dependence",
}

_DRIFT_FACTS = (
    "statistics_distance",
    "own_statistics_distance",
    "median_statistics_distance",
    "data_mean_shift",
    "data_spread_ratio",
    "worst_channel",
    "worst_channel_distance",
)


def _known(observed: Mapping[str, T] | None, layer: str) -> Maybe[T | None]:
    """What was observed of a layer: null where there was nothing to observe, unknown where the run failed."""
    return UNKNOWN if observed is None else observed.get(layer)


def _explained(module: str | None, norms: Iterable[NormFacts]) -> bool:
    """Whether a BatchNorm that normalises by the batch in eval mode lies in a module, or anywhere without one."""
    return any(
        module in {None, "", facts.layer} or facts.layer.startswith(f"{module}.")
        for facts in norms
        if facts.kind == NormKind.BATCH and _normalises_by_batch_in_eval(facts)
    )


def _normalises_by_batch_in_eval(facts: NormFacts) -> bool:
    values = (facts.training_after_eval, facts.ignores_eval, facts.statistics_move_in_eval)
    return facts.has_running_statistics is False or any(value is True for value in values)
