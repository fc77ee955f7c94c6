"""The tensors of a normalisation layer by name."""

from __future__ import annotations

from typing import Final

STATISTICS: Final[tuple[str, ...]] = ("running_mean", "running_var")
"""The running statistics, which BatchNorm always has and InstanceNorm can have."""

AFFINE: Final[tuple[str, ...]] = ("weight", "bias")
"""The scale and the shift."""

COUNTER: Final[str] = "num_batches_tracked"
"""The number of batches that the statistics have seen."""

ARGUMENTS: Final[tuple[str, ...]] = (*STATISTICS, *AFFINE)
"""Those that a call of an operator takes."""

TENSORS: Final[tuple[str, ...]] = (*ARGUMENTS, COUNTER)
"""All, by their names in torch."""

ROLES: Final[dict[str, str]] = {
    **{name: name for name in TENSORS},
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""What a tensor is, by the names that it has in files; some stand in models converted from TensorFlow."""
