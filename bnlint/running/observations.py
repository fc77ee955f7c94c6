"""What was observed on a copy of the model: frozen records, without judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Modes:
    """What `eval()` and `train()` do to the layers of the model.

    Attributes:
        training_after_eval: Training flag of each registered module after `model.eval()`, by path.
        training_after_train: The same after `model.train()`.
        holders: The class whose own `train()` or `eval()` holds a module in training mode, by path of the module.
    """

    training_after_eval: Mapping[str, bool]
    training_after_train: Mapping[str, bool]
    holders: Mapping[str, str]


@dataclass(frozen=True)
class BatchDependence:
    """Whether the output for the first sample changes with the other samples of its batch, in eval mode.

    Attributes:
        depends: The answer.
        module: Path of the innermost module whose output for the sample changes while its input does not; the empty
            path is the model itself. `None` where there is no dependence, or where no module could be told.
        module_class: Class name of that module.
    """

    depends: bool
    module: str | None = None
    module_class: str = ""


@dataclass(frozen=True)
class DryRun:
    """What a run on a copy shows; `None` for what could not be seen.

    Attributes:
        moved_in_eval: Whether one forward in eval mode changes a layer's running statistics, by path.
        updates: How often a layer's statistics are updated by one training step, by path; absent without a counter.
        batch_dependence: Whether samples influence each other in eval mode.
        reasons: Why something could not be seen, by the name of its attribute here: clauses.
    """

    moved_in_eval: Mapping[str, bool] | None = None
    updates: Mapping[str, int] | None = None
    batch_dependence: BatchDependence | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be seen and why, a sentence each."""
        return tuple(dict.fromkeys(f"{reason[0].upper()}{reason[1:]}." for reason in self.reasons.values()))


@dataclass(frozen=True)
class PaddingRun:
    """What padding shows.

    Attributes:
        enters: Whether padded steps enter the statistics of a layer, by path of the layers that were called; `None` for
            a layer of which it cannot be told. `None` altogether where the run failed.
    """

    enters: Mapping[str, bool | None] | None = None


@dataclass(frozen=True)
class Drift:
    """How far the running statistics of one layer are from those of real inputs; distances are in standard deviations.

    Attributes:
        distance: Median over the channels of the distance between the normalised inputs and mean 0, variance 1, less
            what sampling explains, in eval mode.
        own_distance: The same while every BatchNorm normalises by the batch, so that the statistics of the layers
            before play no part; `None` where the batches are too small for that.
        mean_shift: Median over the channels of |data mean - running mean| in running standard deviations.
        spread_ratio: Median over the channels of data standard deviation ÷ running standard deviation.
        worst_channel: The channel with the largest distance.
        worst_distance: Its distance.
    """

    distance: float
    own_distance: float | None
    mean_shift: float
    spread_ratio: float
    worst_channel: int
    worst_distance: float


@dataclass(frozen=True)
class DataRun:
    """What real inputs show.

    Attributes:
        samples: Samples that went through the model.
        layers: The drift of each BatchNorm that they reached, by path; `None` for one of which it cannot be told.
            `None` altogether where the run failed.
    """

    samples: int = 0
    layers: Mapping[str, Drift | None] | None = None


@dataclass(frozen=True)
class Observations:
    """All that was observed; `None` for what was not asked for or could not be done.

    Attributes:
        modes: What `eval()` and `train()` do.
        dry_run: What a run shows.
        padding: What padding shows.
        data: What real inputs show.
        notes: What could not be observed, and why, a sentence each.
        failed: The same for what the user asked for by name.
    """

    modes: Modes | None = None
    dry_run: DryRun | None = None
    padding: PaddingRun | None = None
    data: DataRun | None = None
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


NOTHING = Observations()
"""The observations of a target that holds no model."""
