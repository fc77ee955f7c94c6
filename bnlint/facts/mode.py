"""What a mode means for a normalisation call."""

from __future__ import annotations

from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.tracing.kinds import NormKind


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
