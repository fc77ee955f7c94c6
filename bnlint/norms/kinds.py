"""The kinds of normalisation."""

from __future__ import annotations

import enum
from typing import Final


class NormKind(enum.StrEnum):
    """Kinds of normalisation."""

    BATCH = "batch_norm"
    INSTANCE = "instance_norm"
    LAYER = "layer_norm"
    GROUP = "group_norm"
    RMS = "rms_norm"
    LOCAL_RESPONSE = "local_response_norm"


WITH_STATISTICS: Final = frozenset({NormKind.BATCH, NormKind.INSTANCE})
"""The kinds that can keep running statistics, and have a momentum."""
