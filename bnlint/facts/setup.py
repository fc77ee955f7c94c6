"""The training set-up that the user declares."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from bnlint.errors import UsageError
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Need

_NOUNS = {
    "batch_size": ("batch size", "a batch holds at least one sample"),
    "devices": ("number of devices", "training takes at least one"),
    "accumulate": ("number of accumulated batches", "each step takes at least one"),
    "dataset_size": ("dataset size", "an epoch holds at least one sample"),
}


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """How the model is trained, as far as it is declared; `None` for what is not.

    Attributes:
        batch_size: The batch on each device, in samples.
        devices: Number of devices that train together, each with batches of its own.
        accumulate: Number of batches whose gradients are added up for one step of the optimiser.
        dataset_size: Samples in one epoch, over all devices.
        drop_last: Whether a short last batch is left out.

    Raises:
        UsageError: If a number is below 1.
    """

    batch_size: int | None = None
    devices: int | None = None
    accumulate: int | None = None
    dataset_size: int | None = None
    drop_last: bool | None = None

    def __post_init__(self) -> None:
        for name, (noun, reason) in _NOUNS.items():
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"The {noun} is {value}, but {reason}.")

    def joined_with(self, other: TrainingSetup) -> TrainingSetup:
        """This set-up, with what it leaves open taken from another.

        Raises:
            UsageError: If both declare the same thing differently.
        """
        taken = {}
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine is None:
                taken[field.name] = theirs
            elif theirs is not None and mine != theirs:
                words = field.name.replace("_", " ")
                raise UsageError(f"The {words} is given as {mine}, but the loader has {theirs}.", "Give one of them.")
        return replace(self, **taken)

    def over(self, weaker: TrainingSetup) -> TrainingSetup:
        """This set-up, with what it leaves open taken from another; where both declare something, this one counts."""
        declared = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(weaker, **{name: value for name, value in declared.items() if value is not None})

    @property
    def declared(self) -> frozenset[Need]:
        """The sources of facts that are declared."""
        given = {
            Need.BATCH_SIZE: self.batch_size,
            Need.DATASET_SIZE: self.dataset_size,
            Need.ACCUMULATE: self.accumulate,
        }
        return frozenset(need for need, value in given.items() if value is not None)

    @property
    def last_batch_size(self) -> Maybe[int | None]:
        """Samples in the short last batch of an epoch on each device; `None` where every batch is full.

        Each device gets an equal part of the epoch, as `DistributedSampler` deals it out: ceil(samples ÷ devices). A
        short last batch is kept where nothing else is declared, as by `DataLoader`.
        """
        if self.drop_last:
            return None
        if self.batch_size is None or self.dataset_size is None:
            return UNKNOWN
        return math.ceil(self.dataset_size / (self.devices or 1)) % self.batch_size or None


def setup_facts(setup: TrainingSetup) -> dict[str, Any]:
    """The facts of the declared training set-up that hold for every call, by field name of `NormFacts`."""
    last = setup.last_batch_size
    share: Maybe[float | None] = None
    if last is UNKNOWN or (last is not None and setup.batch_size is None):
        share = UNKNOWN
    elif last is not None and setup.batch_size is not None:
        share = last / setup.batch_size
    return {
        "batch_size": UNKNOWN if setup.batch_size is None else setup.batch_size,
        "devices": setup.devices or 1,
        "accumulate": setup.accumulate or 1,
        "last_batch_size": last,
        "last_batch_share": share,
    }
