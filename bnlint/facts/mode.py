"""What a mode means for a normalisation layer, and for a call of it."""

from __future__ import annotations

from typing import TypedDict

from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.norms.kinds import NormKind


class ModeFacts(TypedDict, total=False):
    """The fields of `NormFacts` that come from the flags of a layer and of its model."""

    training: bool | None
    model_training: bool
    uses_batch_statistics: Maybe[bool]
    ignores_eval: Maybe[bool]


def mode_facts(
    kind: NormKind, training: bool | None, model_training: Maybe[bool], uses_batch_statistics: bool | None
) -> ModeFacts:
    """The facts of one layer that come from the flags of its owner's making.

    Args:
        kind: Kind of normalisation.
        training: The layer's own flag; `None` where the mode is a part of the program.
        model_training: The flag of the root module; unknown where bnlint, and not the owner, chose it.
        uses_batch_statistics: Whether the layer normalises by the batch in this mode; `None` where nothing tells.

    Returns:
        The facts by field name; none where the mode of the model is unknown.
    """
    if model_training is UNKNOWN:
        return ModeFacts()
    uses: Maybe[bool] = UNKNOWN if uses_batch_statistics is None else uses_batch_statistics
    return ModeFacts(
        training=training,
        model_training=model_training,
        uses_batch_statistics=uses,
        ignores_eval=ignores_eval(kind, uses, training),
    )


def learns_statistics(kind: NormKind, *, frozen: bool, training: bool, model_training: Maybe[bool]) -> bool:
    """Whether a layer would normalise by the batch in training.

    Args:
        kind: Kind of normalisation; only BatchNorm learns statistics.
        frozen: Whether its class normalises by running statistics whatever the mode.
        training: The layer's own flag.
        model_training: The flag of the root module.

    Returns:
        False also for a layer that is held in eval mode while the model trains.
    """
    held = model_training is True and not training
    return kind is NormKind.BATCH and not frozen and not held


def ignores_eval(kind: NormKind, uses_batch_statistics: Maybe[bool], training: Maybe[bool | None]) -> Maybe[bool]:
    """Whether a call normalises by the batch outside training mode.

    Args:
        kind: Kind of normalisation; only BatchNorm has a mode.
        uses_batch_statistics: Whether the call normalises by the batch.
        training: The flag that `eval()` sets for the call; `None` where the mode is a part of the program.

    Returns:
        False in training mode, where there is nothing to ignore.
    """
    if kind is not NormKind.BATCH:
        return False
    if uses_batch_statistics is UNKNOWN or training is UNKNOWN:
        return UNKNOWN
    return uses_batch_statistics and not training
