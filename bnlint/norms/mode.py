"""What decides whether a normalisation uses the values at hand, or running statistics: said here and nowhere else."""

from __future__ import annotations

from bnlint.norms.kinds import WITH_STATISTICS, NormKind


def uses_batch_statistics(kind: NormKind, *, training: bool | None, statistics: bool | None = True) -> bool | None:
    """Whether a call of a layer, an operator or a function normalises by the values at hand.

    Args:
        kind: Its kind. Only BatchNorm and InstanceNorm can do otherwise.
        training: The flag that it obeys; `None` where nothing tells.
        statistics: Whether it has running statistics; `None` where nothing tells.

    Returns:
        `None` where what is told does not decide.
    """
    if kind not in WITH_STATISTICS or training or statistics is False:
        return True
    return None if statistics is None else training
