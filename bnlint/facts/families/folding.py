"""Whether the layer can be folded, and into what."""

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.families.names import FOLDING, Names
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need, Ordinary


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class FoldingFamily:
    """Whether the layer can be folded, and into what."""

    foldable: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether `bnlint fold` can absorb the layer into its neighbours; null for other kinds than BatchNorm.",
            FOLDING,
            (Need.CODE, Need.GRAPH),
        ),
    ] = UNKNOWN
    folds_into: Annotated[
        Maybe[Names],
        Fact("Paths of the layers that would absorb it.", FOLDING, (Need.CODE, Need.GRAPH), ordinary=Ordinary.ANY),
    ] = UNKNOWN
    left_in_onnx: Annotated[
        bool | None,
        Fact(
            "Whether an ONNX file keeps the layer as an operator of its own right after a convolution or linear layer"
            " that could take it in; null for other kinds than BatchNorm, and for targets that are no ONNX file.",
            FOLDING,
            ordinary=(False, None),
        ),
    ] = None
    fold_obstacle: Annotated[
        Maybe[str | None],
        Fact("Why the layer cannot be folded; null where it can.", FOLDING, (Need.CODE, Need.GRAPH)),
    ] = UNKNOWN
