"""What is folded into what, and what stays and why; decided on the graph alone, without weights."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy

from bnlint.folding.remainder import Remainder

Channels = numpy.ndarray
"""For each channel of a carrier, the channel of the BatchNorm that it belongs to, −1 for none; shape (C,), integer."""


class Side(enum.StrEnum):
    """Which side of a carrier takes the affine."""

    OUTPUT = "output"
    """BatchNorm after the carrier: scale its rows and its bias."""
    INPUT = "input"
    """BatchNorm before the carrier: scale its columns, and add what the shift contributes to its bias."""
    BESIDE = "beside"
    """BatchNorm on the skip connection beside a convolution: add it to the middle of the kernel."""


@dataclass(frozen=True)
class Change:
    """What happens to one carrier.

    Attributes:
        carrier: Path of the layer that takes the affine.
        side: Which side of it.
        channels: Which of its channels take which channel of the BatchNorm.
        with_shift: Whether the shift is taken too; of the branches of an addition only one takes it.
        negated: Beside a convolution: whether one of the two is subtracted from the other.
    """

    carrier: str
    side: Side
    channels: Channels
    with_shift: bool = True
    negated: bool = False


@dataclass(frozen=True)
class PlannedFold:
    """One BatchNorm that is folded.

    Attributes:
        layer: Path of the BatchNorm.
        into: Paths of the layers that absorb it.
        through: Names of the operators between, in the order of the way.
        changes: What happens to the carriers, call by call.
        remainder: What stays in its place.
        aliases: Other paths of the same module object.
    """

    layer: str
    into: tuple[str, ...]
    through: tuple[str, ...]
    changes: tuple[Change, ...]
    remainder: Remainder
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kept:
    """One BatchNorm that stays.

    Attributes:
        layer: Path of the BatchNorm.
        reason: Why it stays, in words that a user can act on.
        cause: The reason without names, the same for all layers that stay for it.
    """

    layer: str
    reason: str
    cause: str


@dataclass(frozen=True)
class Plan:
    """The verdict on every BatchNorm of a model.

    Attributes:
        folds: In the order in which they are done: the order of the calls.
        kept: The others, in the order of the calls.
        keep: Those of them that were told to stay, each with the reason as a template and its names.
    """

    folds: tuple[PlannedFold, ...]
    kept: tuple[Kept, ...]
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
