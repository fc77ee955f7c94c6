"""How many values the call averages over, in the traced run and in the declared training."""

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.families.names import SHAPE
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need, Ordinary


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class ShapeFamily:
    """How many values the call averages over, in the traced run and in the declared training."""

    input_shape: Annotated[
        Maybe[tuple[int, ...] | None],
        Fact("Shape of the input of the call; null when never called.", SHAPE, (Need.GRAPH,), ordinary=Ordinary.ANY),
    ] = UNKNOWN
    channel_axis: Annotated[
        Maybe[int | None], Fact("The axis of the input that is normalised by channel, from 0.", SHAPE, (Need.GRAPH,))
    ] = UNKNOWN
    channel_axis_is_feature_axis: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether the channel axis is the one on which the layer upstream puts its channels or features, followed"
            " through reshape, permute and flatten; null where no such layer is next upstream.",
            SHAPE,
            (Need.GRAPH,),
            ordinary=(True, None),
        ),
    ] = UNKNOWN
    as_many_channels_as_features: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether the channel axis is as long as the axis on which the layer upstream puts its channels or features;"
            " null where no such layer is next upstream.",
            SHAPE,
            (Need.GRAPH,),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    values_per_sample: Annotated[
        Maybe[int | None],
        Fact(
            "Values that one sample adds to each channel's statistics (H·W, L or 1).",
            SHAPE,
            (Need.GRAPH,),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    values_per_channel: Annotated[
        Maybe[int | None],
        Fact(
            "Values in each channel's statistics at the declared batch size (N·H·W, N·L or N).",
            SHAPE,
            (Need.GRAPH, Need.BATCH_SIZE),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    traffic_megabytes: Annotated[
        Maybe[float | None],
        Fact(
            "Megabytes (10⁶ bytes) that the call moves in the traced run: its input is read once, its output written"
            " once.",
            SHAPE,
            (Need.GRAPH,),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    batch_size: Annotated[
        Maybe[int], Fact("The declared training batch on each device, in samples.", SHAPE, (Need.BATCH_SIZE,))
    ] = UNKNOWN
    devices: Annotated[
        Maybe[int], Fact("The declared number of devices that train together; 1 where none is declared.", SHAPE)
    ] = UNKNOWN
    accumulate: Annotated[
        Maybe[int],
        Fact("The declared number of batches in one step of the optimiser; 1 where none is declared.", SHAPE),
    ] = UNKNOWN
    last_batch_size: Annotated[
        Maybe[int | None],
        Fact(
            "Samples in the short last batch of an epoch on each device; null where every batch is full.",
            SHAPE,
            (Need.BATCH_SIZE, Need.DATASET_SIZE),
        ),
    ] = UNKNOWN
    last_batch_share: Annotated[
        Maybe[float | None],
        Fact(
            "The short last batch as a share of a full one; null where every batch is full.",
            SHAPE,
            (Need.BATCH_SIZE, Need.DATASET_SIZE),
        ),
    ] = UNKNOWN
    values_in_last_batch: Annotated[
        Maybe[int | None],
        Fact(
            "Values in each channel's statistics in the short last batch; null where every batch is full.",
            SHAPE,
            (Need.GRAPH, Need.BATCH_SIZE, Need.DATASET_SIZE),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
