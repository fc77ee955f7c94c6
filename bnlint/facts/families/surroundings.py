"""What feeds the call and what it feeds, seen through transparent operators."""

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.families.names import SURROUNDINGS, Names
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need, Ordinary
from bnlint.norms.kinds import NormKind
from bnlint.tracing.kinds import Role


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class SurroundingsFamily:
    """What feeds the call and what it feeds, seen through transparent operators."""

    calls: Annotated[
        Maybe[int], Fact("How often the layer is called in one forward.", SURROUNDINGS, (Need.GRAPH,), ordinary=(1,))
    ] = UNKNOWN
    fed_by: Annotated[
        Maybe[Names],
        Fact(
            "Roles of what feeds the call, seen through operators that move values only.",
            SURROUNDINGS,
            (Need.GRAPH,),
            values=tuple(map(str, Role)),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    feeds: Annotated[
        Maybe[Names],
        Fact(
            "Roles of what the call feeds, seen through operators that move values only.",
            SURROUNDINGS,
            (Need.GRAPH,),
            values=tuple(map(str, Role)),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    identity_branch: Annotated[
        Maybe[bool],
        Fact(
            "Whether the call stands on a skip connection: its input goes elsewhere too, and its output is only added,"
            " as in RepVGG.",
            SURROUNDINGS,
            (Need.GRAPH,),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    dropout_before: Annotated[
        Maybe[float],
        Fact(
            "Largest probability of the dropouts upstream, as they are in training, seen through operators that work"
            " value by value, such as activations and sums; 0 without any. Stochastic depth and AlphaDropout do not"
            " count.",
            SURROUNDINGS,
            (Need.GRAPH,),
            ordinary=(0,),
            ordinary_of=(str(NormKind.BATCH),),
        ),
    ] = UNKNOWN
    bias_before: Annotated[
        Maybe[Names],
        Fact(
            "Path of the layer next upstream if each channel sees its bias as one constant, and nothing else sees it.",
            SURROUNDINGS,
            (Need.GRAPH,),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    streams: Annotated[
        Maybe[int],
        Fact(
            "How many streams the layer is called on in one forward; calls with a layer upstream in common are one.",
            SURROUNDINGS,
            (Need.GRAPH,),
            ordinary=(0, 1),
        ),
    ] = UNKNOWN
    sequence_evidence: Annotated[
        Maybe[Names],
        Fact(
            "Which of `attention`, `recurrent`, `embedding` the values come from or go to, along a sequence that is not"
            " the pixel grid of an image.",
            SURROUNDINGS,
            (Need.GRAPH,),
            values=("attention", "recurrent", "embedding"),
            ordinary=(frozenset(),),
            ordinary_of=(str(NormKind.BATCH),),
        ),
    ] = UNKNOWN
