"""Whether the layer trains, and whether `eval()` and `train()` reach it."""

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.families.names import MODE
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need, Ordinary
from bnlint.norms.kinds import NormKind


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class ModeFamily:
    """Whether the layer trains, and whether `eval()` and `train()` reach it."""

    training: Annotated[
        Maybe[bool], Fact("The layer's own training flag.", MODE, (Need.MODULE, Need.MODE), ordinary=(False,))
    ] = UNKNOWN
    model_training: Annotated[
        Maybe[bool],
        Fact(
            "The training flag of the whole model, its root module.",
            MODE,
            (Need.MODULE, Need.MODE),
            ordinary=Ordinary.ANY,
        ),
    ] = UNKNOWN
    uses_batch_statistics: Annotated[
        Maybe[bool],
        Fact(
            "Whether the layer, in its present mode, normalises by the batch rather than by running statistics.",
            MODE,
            (Need.MODULE, Need.MODE),
            ordinary=(False,),
            ordinary_of=(str(NormKind.BATCH),),
        ),
    ] = UNKNOWN
    ignores_eval: Annotated[
        Maybe[bool],
        Fact(
            "Whether the call normalises by the batch although its module is in eval mode, or because training mode is"
            " a part of the exported or traced program; false in training mode, where there is nothing to ignore.",
            MODE,
            (Need.MODULE, Need.MODE),
            ordinary=(False,),
        ),
    ] = UNKNOWN
    mixes_samples: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether the statistics of a batch are taken across samples: not where weights are standardised, and not"
            " where each sample has channels of its own; null for other kinds than BatchNorm.",
            MODE,
            (Need.GRAPH,),
        ),
    ] = UNKNOWN
    learns_statistics: Annotated[
        Maybe[bool],
        Fact(
            "Whether the layer would normalise by the batch in training: not a frozen class, and not held in eval mode"
            " while the model trains.",
            MODE,
            (Need.MODULE,),
        ),
    ] = UNKNOWN
    parameters_frozen: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether no parameter of the layer requires gradients; null where it has no parameters.",
            MODE,
            (Need.MODULE,),
        ),
    ] = UNKNOWN
    training_after_eval: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether the layer is in training mode after `model.eval()` of a copy; null outside the module tree.",
            MODE,
            (Need.MODULE, Need.CODE),
            ordinary=(False, None),
        ),
    ] = UNKNOWN
    held_in_training_by: Annotated[
        Maybe[str | None],
        Fact(
            "Class whose own `train()` or `eval()` leaves the layer in training mode after `eval()`; null for none.",
            MODE,
            (Need.MODULE, Need.CODE),
            ordinary=(None,),
        ),
    ] = UNKNOWN
    training_after_train: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether the layer is in training mode after `model.train()`, asked of a copy: false where the model's own"
            " `train()` keeps it frozen; null outside the module tree.",
            MODE,
            (Need.MODULE, Need.CODE),
            ordinary=(True, None),
        ),
    ] = UNKNOWN
