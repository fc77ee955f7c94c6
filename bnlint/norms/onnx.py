"""The operators of ONNX that normalise: kind, order of tensors, what decides the mode.

Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bnlint.norms.kinds import NormKind
from bnlint.norms.tensors import AFFINE, STATISTICS

NORMALISATIONS: Final[dict[str, NormKind]] = {
    "BatchNormalization": NormKind.BATCH,
    "InstanceNormalization": NormKind.INSTANCE,
    "LayerNormalization": NormKind.LAYER,
    "GroupNormalization": NormKind.GROUP,
    "RMSNormalization": NormKind.RMS,
    "SimplifiedLayerNormalization": NormKind.RMS,
    "LRN": NormKind.LOCAL_RESPONSE,
}
"""Kind by name."""

OF_LAYERS: Final[dict[NormKind, str]] = {
    kind: name for name, kind in reversed(NORMALISATIONS.items()) if kind is not NormKind.LOCAL_RESPONSE
}
"""The operator that stands for a layer of each kind that exporters write in parts."""

TENSORS: Final = (*AFFINE, *STATISTICS)
"""The tensors behind the input, in the order of all of them."""

FEWEST_INPUTS: Final = {
    "BatchNormalization": 5, "GroupNormalization": 3, "InstanceNormalization": 3, "LayerNormalization": 2,
    "RMSNormalization": 2,
}  # fmt: skip
"""Inputs without which an operator means nothing; of others one is enough."""

EPSILON: Final = 1e-5
MOMENTUM: Final = 0.9
"""Defaults; the momentum is the share of the old statistics, where that of torch is the share of the batch."""

_MODE_IS_ATTRIBUTE: Final = 14
_MODE_IS_OUTPUTS: Final = 7
"""Versions of the operators: since 14 the mode of BatchNormalization is an attribute, from 7 on the number of its
outputs, and before that an attribute and the outputs."""


def training(attributes: Mapping[str, object], outputs: int, opset: int) -> bool | None:
    """Whether a BatchNormalization normalises by the batch; `None` where an old file says both.

    Args:
        attributes: Its attributes.
        outputs: How many of its results are named.
        opset: Version of the operators of the file.
    """
    if opset >= _MODE_IS_ATTRIBUTE or "training_mode" in attributes:
        return bool(attributes.get("training_mode", 0))
    several = outputs > 1
    if opset >= _MODE_IS_OUTPUTS:
        return several
    return several if several is not bool(attributes.get("is_test", 0)) else None
