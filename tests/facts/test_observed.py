"""Facts from observations: what was seen, what there was nothing to see of, and what could not be seen."""

from __future__ import annotations

from typing import Any

import pytest

from bnlint.facts.observed import Observed
from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import Need
from bnlint.norms.kinds import NormKind
from bnlint.running.observations import (
    NOTHING,
    BatchDependence,
    DataRun,
    Drift,
    DryRun,
    Modes,
    Observations,
    PaddingRun,
)

NEAR, FAR = Drift(0.0, 0.0, 0.1, 1.0, 0, 0.2), Drift(9.0, None, 9.0, 1.0, 3, 11.0)


def facts(observations: Observations, layer: str = "a", kind: NormKind = NormKind.BATCH) -> dict[str, Any]:
    return Observed(observations, is_program=False).norm(layer, kind)


def norm(layer: str, **changes: Any) -> NormFacts:
    return NormFacts(layer=layer, kind="batch_norm", **{"training_after_eval": False, "ignores_eval": False} | changes)


def test_without_observations_nothing_is_known_and_a_program_has_no_modes() -> None:
    assert set(facts(NOTHING).values()) == {UNKNOWN}
    assert Observed(NOTHING, is_program=False).available == frozenset()
    assert Observed(NOTHING, is_program=True).norm("a", NormKind.BATCH)["training_after_eval"] is None


def test_modes() -> None:
    modes = Modes({"a": True}, {"a": True}, {"a": "Net"})
    assert facts(Observations(modes=modes))["held_in_training_by"] == "Net"
    outside_the_tree = facts(Observations(modes=modes), "hidden[0]")
    assert outside_the_tree["training_after_eval"] is None


def test_a_run_that_failed_was_at_hand_and_tells_nothing() -> None:
    failed = Observations(dry_run=DryRun(), padding=PaddingRun(), data=DataRun())
    assert Observed(failed, is_program=False).available == {Need.RUN, Need.PADDING, Need.DATA}
    found = facts(failed)
    for name in ("statistics_move_in_eval", "updates_per_forward", "padding_enters_statistics", "statistics_distance"):
        assert found[name] is UNKNOWN
    assert facts(failed, kind=NormKind.LAYER)["statistics_distance"] is None
    assert Observed(failed, is_program=False).model([]) == {}


def test_a_layer_that_was_not_reached_is_told_from_one_that_could_not_be_judged() -> None:
    seen = Observations(
        dry_run=DryRun(moved_in_eval={"a": True}, updates={"a": 2}),
        padding=PaddingRun({"a": True, "odd": None}),
        data=DataRun(64, {"a": NEAR, "b": FAR, "odd": None}),
    )
    assert facts(seen)["updates_per_forward"] == 2
    assert facts(seen)["statistics_move_in_eval"] is True
    assert facts(seen)["median_statistics_distance"] == 4.5
    assert facts(seen, "b")["own_statistics_distance"] is None
    assert facts(seen, "b")["worst_channel"] == 3
    for name in ("padding_enters_statistics", "statistics_distance"):
        assert facts(seen, "odd")[name] is UNKNOWN
        assert facts(seen, "spare")[name] is None


@pytest.mark.parametrize(
    ("norms", "explained"),
    [
        ([norm("block.bn")], False),
        ([norm("block.bn", training_after_eval=True)], True),
        ([norm("block.bn", ignores_eval=True)], True),
        ([norm("block.bn", statistics_move_in_eval=True)], True),
        ([norm("block.bn", has_running_statistics=False)], True),
        ([norm("blocks.bn", training_after_eval=True)], False),
    ],
)
def test_samples_that_meet_in_a_known_batch_norm_are_explained(norms: list[NormFacts], explained: bool) -> None:
    dependence = BatchDependence(True, "block", "Block")
    found = Observed(Observations(dry_run=DryRun(batch_dependence=dependence)), is_program=False).model(norms)
    assert found["samples_meet_in"] == "block (Block)"
    assert found["samples_meet_in_batch_norm"] is explained
