"""What the layer was built with."""

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.families.names import CONFIGURATION
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need, Ordinary
from bnlint.norms.kinds import NormKind


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class ConfigurationFamily:
    """What the layer was built with."""

    momentum: Annotated[
        Maybe[float | None],
        Fact("Share of the new batch in each update; null is a cumulative average.", CONFIGURATION, (Need.MODULE,)),
    ] = UNKNOWN
    eps: Annotated[
        Maybe[float | None],
        Fact(
            "The constant added to the variance; null where the class chooses it by dtype.",
            CONFIGURATION,
            (Need.MODULE,),
        ),
    ] = UNKNOWN
    eps_is_lost: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether eps is zero, or rounds to zero in the data type in which it is added to the variance: float32 or"
            " float64 in PyTorch's own kernels, that of the statistics in a class that does the arithmetic itself; null"
            " where the class chooses eps by dtype.",
            CONFIGURATION,
            (Need.MODULE,),
            ordinary=(False, None),
        ),
    ] = UNKNOWN
    synchronised: Annotated[
        Maybe[bool],
        Fact(
            "Whether training takes the batch statistics from all devices: `nn.SyncBatchNorm`, or a class named so.",
            CONFIGURATION,
            (Need.MODULE,),
        ),
    ] = UNKNOWN
    affine: Annotated[Maybe[bool], Fact("Whether there is a learned scale.", CONFIGURATION, (Need.STATE,))] = UNKNOWN
    has_running_statistics: Annotated[
        Maybe[bool],
        Fact(
            "Whether a running mean and a running variance are kept.",
            CONFIGURATION,
            (Need.STATE,),
            ordinary=(True,),
            ordinary_of=(str(NormKind.BATCH),),
        ),
    ] = UNKNOWN
    missing_statistic: Annotated[
        Maybe[str | None],
        Fact(
            "Which of `running_mean` and `running_var` is missing although the other one is there; null where both are,"
            " or neither is.",
            CONFIGURATION,
            (Need.STATE,),
            values=("running_mean", "running_var"),
            ordinary=(None,),
        ),
    ] = UNKNOWN
    channels: Annotated[
        Maybe[int | None],
        Fact("Number of channels; null where the kind has none.", CONFIGURATION, (Need.STATE,), ordinary=Ordinary.ANY),
    ] = UNKNOWN
    dtype: Annotated[
        Maybe[str | None],
        Fact(
            "Data type of the statistics, or of the scale; null where the layer has neither.",
            CONFIGURATION,
            (Need.STATE,),
        ),
    ] = UNKNOWN
