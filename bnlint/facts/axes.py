"""Follows the channel axis of a normalisation call up to the layer that made the channels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.tracing.axes import ELEMENTWISE, shape_of, step_back
from bnlint.tracing.kinds import Role
from bnlint.tracing.trace import NormCall

_LAST = frozenset({Role.LINEAR, Role.EMBEDDING, Role.RECURRENT, Role.ATTENTION})
"""Roles that put their features on the last axis."""


@dataclass(frozen=True)
class Features:
    """What the layer upstream of a normalisation call puts where.

    Attributes:
        are_channels: Whether its channels or features lie on the axis that the call normalises by channel; unknown
            where the way there cannot be followed.
        count: How many they are.
    """

    are_channels: Maybe[bool]
    count: int


KnownFeatures = dict[tuple[fx.Node, int | None], Maybe[Features | None]]
"""What was found from a node upwards, by the axis of its value that was followed: calls can share a long way."""


def features_before(call: NormCall, axis: int | None, known: KnownFeatures) -> Maybe[Features | None]:
    """The features of the layer upstream, and whether a call normalises the axis on which they lie.

    Sizes may agree by accident: `nn.Linear(64, 64)` on (N, 64, 64), then `nn.BatchNorm1d(64)`, normalises positions.

    Args:
        call: The call.
        axis: The axis of its input that it normalises by channel, from 0.
        known: What other calls of the graph have found out, and this one.

    Returns:
        Null where no convolution, linear, embedding or recurrent layer is next upstream, so that there is nothing to
        compare with; unknown where the shapes on the way are not known.
    """
    node = call.input_node
    if node is None or axis is None:
        return UNKNOWN if axis is not None else None
    way: list[tuple[fx.Node, int | None]] = []
    place: tuple[fx.Node, int | None] | None = (node, axis)
    found: Maybe[Features | None] = None
    while place is not None:
        if place in known:
            found = known[place]
            break
        way.append(place)
        found, place = _step(*place)
    known.update(dict.fromkeys(way, found))
    return found


def _step(node: fx.Node, followed: int | None) -> tuple[Maybe[Features | None], tuple[fx.Node, int | None] | None]:
    """What is known at a node, or where to look on."""
    shape = shape_of(node)
    if shape is None:
        return UNKNOWN, None
    role = node.meta.get("role", Role.UNKNOWN)
    made = _feature_axis(role, len(shape))
    if made is not None:
        return Features(UNKNOWN if followed is None else followed == made, shape[made]), None
    source = _source(node, role)
    if source is None:
        return None, None
    before = shape_of(source)
    if before is None:
        return UNKNOWN, None
    return None, (source, None if followed is None else step_back(node, role, followed, shape, before))


def _feature_axis(role: Role, rank: int) -> int | None:
    if role in (Role.CONVOLUTION, Role.TRANSPOSED_CONVOLUTION):
        return 1 if rank > 2 else 0
    return rank - 1 if role in _LAST else None


def _source(node: fx.Node, role: Role) -> fx.Node | None:
    """The one input whose values go through; `None` where values are mixed or made anew."""
    if role not in ELEMENTWISE and role not in (Role.MOVE, Role.PART):
        return None
    first = node.args[0] if node.args else None
    return first if isinstance(first, fx.Node) else None
