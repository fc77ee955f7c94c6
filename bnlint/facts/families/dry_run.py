"""What a run of a copy showed."""

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.families.names import DRY_RUN
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class DryRunFamily:
    """What a run of a copy showed."""

    statistics_move_in_eval: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether a forward in eval mode changes the running statistics; null without them.",
            DRY_RUN,
            (Need.MODULE, Need.RUN),
            ordinary=(False, None),
        ),
    ] = UNKNOWN
    updates_per_forward: Annotated[
        Maybe[int | None],
        Fact(
            "How often one forward and backward in training mode update the statistics, by `num_batches_tracked`: 2"
            " where gradient checkpointing runs the layer again; null without a counter.",
            DRY_RUN,
            (Need.MODULE, Need.RUN),
            ordinary=(1, None),
        ),
    ] = UNKNOWN
    padding_enters_statistics: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether the output of the layer for real steps changes with the padded ones beside them, in training mode;"
            " null where it was not called or cannot be told.",
            DRY_RUN,
            (Need.MODULE, Need.PADDING),
            ordinary=(False, None),
        ),
    ] = UNKNOWN
