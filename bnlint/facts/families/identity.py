"""Which layer it is, and of which kind."""

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.families.names import IDENTITY
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need, Ordinary
from bnlint.norms.kinds import NormKind


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class IdentityFamily:
    """Which layer it is, and of which kind."""

    layer: Annotated[
        str, Fact("Path of the layer in the model, as in `named_modules()`.", IDENTITY, ordinary=Ordinary.ANY)
    ]
    kind: Annotated[
        Maybe[str],
        Fact(
            "`batch_norm`, `instance_norm`, `layer_norm`, `group_norm`, `rms_norm` or `local_response_norm`.",
            IDENTITY,
            (Need.MODULE,),
            values=tuple(map(str, NormKind)),
            ordinary=Ordinary.ANY,
        ),
    ]
    class_name: Annotated[
        Maybe[str], Fact("Class of the layer, or name of the function.", IDENTITY, (Need.MODULE,))
    ] = UNKNOWN
    spatial_dims: Annotated[
        Maybe[int | None],
        Fact(
            "The 1, 2 or 3 of BatchNorm1d, 2d, 3d; null where the class does not fix it.",
            IDENTITY,
            (Need.MODULE,),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    functional: Annotated[
        Maybe[bool],
        Fact(
            "Whether a function such as `F.batch_norm` is called outside any normalisation layer.",
            IDENTITY,
            (Need.GRAPH,),
        ),
    ] = UNKNOWN
    registered: Annotated[
        Maybe[bool],
        Fact(
            "Whether the layer is in the module tree, where `eval()` finds it.",
            IDENTITY,
            (Need.MODULE,),
            ordinary=(True,),
        ),
    ] = UNKNOWN
