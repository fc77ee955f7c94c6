"""What the tensors of the layer hold, by themselves and beside those of the other layers."""

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.families.names import STATISTICS, Names
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need, Ordinary


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class StatisticsFamily:
    """What the tensors of the layer hold, by themselves and beside those of the other layers."""

    has_batch_counter: Annotated[
        Maybe[bool], Fact("Whether `num_batches_tracked` is kept.", STATISTICS, (Need.STATE,))
    ] = UNKNOWN
    batches_counted: Annotated[
        Maybe[int | None],
        Fact("Value of `num_batches_tracked`, in batches; null without a counter.", STATISTICS, (Need.STATE,)),
    ] = UNKNOWN
    statistics_at_initial_values: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether the mean is 0 and the variance 1 in every channel; null without statistics.",
            STATISTICS,
            (Need.STATE,),
            ordinary=(False, None),
        ),
    ] = UNKNOWN
    affine_at_initial_values: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether the scale is 1 and the shift 0 in every channel; null without both.",
            STATISTICS,
            (Need.STATE,),
            ordinary=(False, None),
        ),
    ] = UNKNOWN
    nonfinite_tensors: Annotated[
        Maybe[Names],
        Fact(
            "Which of `running_mean`, `running_var`, `weight`, `bias` hold NaN or an infinity.",
            STATISTICS,
            (Need.STATE,),
            values=("running_mean", "running_var", "weight", "bias"),
            ordinary=(frozenset(),),
        ),
    ] = UNKNOWN
    negative_variances: Annotated[
        Maybe[int | None],
        Fact(
            "Number of channels whose running variance is below zero; null without statistics.",
            STATISTICS,
            (Need.STATE,),
            ordinary=(0, None),
        ),
    ] = UNKNOWN
    zero_variances: Annotated[
        Maybe[int | None],
        Fact(
            "Number of channels whose running variance is exactly zero; null without statistics.",
            STATISTICS,
            (Need.STATE,),
            ordinary=(0, None),
        ),
    ] = UNKNOWN
    channels_scaled_by_eps: Annotated[
        Maybe[float | None],
        Fact(
            "Share of channels that are amplified by eps rather than normalised: running variance below a hundredth of"
            " eps, and a gain of 1 or more; null without statistics.",
            STATISTICS,
            (Need.MODULE, Need.STATE),
            ordinary=(0.0, None),
        ),
    ] = UNKNOWN
    zero_scale_share: Annotated[
        Maybe[float | None],
        Fact(
            "Share of channels whose scale is zero, or too small beside the largest for float32 to resolve (2⁻²³); null"
            " without a scale.",
            STATISTICS,
            (Need.STATE,),
            ordinary=(0.0, None),
        ),
    ] = UNKNOWN
    range_exceeded_by: Annotated[
        Maybe[Names],
        Fact(
            "Which of the tensors, of the gain (scale ÷ √(variance + eps)) and of the shift (bias − mean · gain) become"
            " infinite or NaN in the declared data type of deployment; empty where none is declared, as every layer is"
            " in the range of its own.",
            STATISTICS,
            (Need.MODULE, Need.STATE),
            values=("running_mean", "running_var", "weight", "bias", "gain", "shift"),
            ordinary=(frozenset(),),
        ),
    ] = UNKNOWN
    others_with_statistics: Annotated[
        Maybe[int | None],
        Fact(
            "Number of other layers in the model whose running statistics data has moved; null without statistics.",
            STATISTICS,
            (Need.STATE,),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    usual_batches_counted: Annotated[
        Maybe[int | None],
        Fact(
            "The value of `num_batches_tracked` above zero that most layers of the model share; null where none has.",
            STATISTICS,
            (Need.STATE,),
        ),
    ] = UNKNOWN
    batches_counted_ratio: Annotated[
        Maybe[float | None],
        Fact(
            "Value of `num_batches_tracked` ÷ that which most layers share; null without a counter, or at zero.",
            STATISTICS,
            (Need.STATE,),
            ordinary=(1.0, None),
        ),
    ] = UNKNOWN
