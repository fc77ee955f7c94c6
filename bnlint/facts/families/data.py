"""How far the running statistics are from those of real inputs."""

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.families.names import DATA
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need, Ordinary


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class DataFamily:
    """How far the running statistics are from those of real inputs."""

    statistics_distance: Annotated[
        Maybe[float | None],
        Fact(
            "How far real inputs, normalised by the running statistics, are from mean 0 and variance 1, in eval mode:"
            " Wasserstein distance in standard deviations, median over the channels, less the sampling error; null"
            " where none reached the layer.",
            DATA,
            (Need.MODULE, Need.DATA),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    own_statistics_distance: Annotated[
        Maybe[float | None],
        Fact(
            "The same while every BatchNorm normalises by the batch, so that the layers before play no part; null where"
            " the batches are too small for that.",
            DATA,
            (Need.MODULE, Need.DATA),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    median_statistics_distance: Annotated[
        Maybe[float | None],
        Fact(
            "Median of `statistics_distance` over the layers of the model.",
            DATA,
            (Need.MODULE, Need.DATA),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    data_mean_shift: Annotated[
        Maybe[float | None],
        Fact(
            "|Mean of real inputs - running mean| in running standard deviations, median over the channels.",
            DATA,
            (Need.MODULE, Need.DATA),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    data_spread_ratio: Annotated[
        Maybe[float | None],
        Fact(
            "Standard deviation of real inputs ÷ running standard deviation, median over the channels.",
            DATA,
            (Need.MODULE, Need.DATA),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    worst_channel: Annotated[
        Maybe[int | None],
        Fact("The channel with the largest distance, from 0.", DATA, (Need.MODULE, Need.DATA), ordinary=Ordinary.ANY),
    ] = UNKNOWN
    worst_channel_distance: Annotated[
        Maybe[float | None],
        Fact("The distance of that channel.", DATA, (Need.MODULE, Need.DATA), ordinary=Ordinary.ANY),
    ] = UNKNOWN
