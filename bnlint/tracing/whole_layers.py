"""Which layers have all that their class of `torch.nn` has."""

from __future__ import annotations

from torch import nn

from bnlint.artifacts.promised_attributes import promised_attributes
from bnlint.user_objects import attribute


def is_whole(layer: nn.Module) -> bool:
    """Whether a layer has what the `forward` of its class of `torch.nn` reads, such as `in_features`.

    A subclass with a `forward` of its own may call the constructor of `nn.Module` alone, and set what it needs.

    Args:
        layer: Any module.
    """
    absent = object()
    return all(attribute(layer, name, absent) is not absent for name in promised_attributes(type(layer)))
