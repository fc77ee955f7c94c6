"""What the calls of the carriers ask for, and whether one weight can give it to all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from torch import fx

from bnlint.folding.plan import Change, Side
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.uses import Uses

_ORDER = (Side.OUTPUT, Side.INPUT, Side.BESIDE)
"""What a skip connection gives to the kernel beside it is already scaled."""


@dataclass(frozen=True)
class Wanted:
    """A change of a carrier that one of its calls asks for.

    Attributes:
        call: The call.
        change: The change.
    """

    call: fx.Node
    change: Change


def agreed(wanted: Sequence[Wanted], uses: Uses) -> list[Change]:
    """The changes of each carrier, if all its calls ask for the same.

    Args:
        wanted: What the calls ask for.
        uses: Who calls what.

    Raises:
        CannotFoldError: If a call of the carrier asks for something else, or for nothing.
    """
    carriers: dict[str, dict[fx.Node, list[Change]]] = defaultdict(lambda: defaultdict(list))
    for one in wanted:
        carriers[one.change.carrier][one.call].append(one.change)
    result: list[Change] = []
    for path, by_call in carriers.items():
        calls = max(1, len(uses.calls(uses.module(path))))
        if calls != len(by_call):
            raise CannotFoldError(
                "{} is called {} times and not only for this layer: only a graph tells them apart (--as graph)",
                path,
                calls,
            )
        first, *others = (sorted(changes, key=lambda change: _ORDER.index(change.side)) for changes in by_call.values())
        if not all(_same(first, other) for other in others):
            raise CannotFoldError(
                "{} is called {} times for different changes: only a graph tells them apart (--as graph)", path, calls
            )
        _require_disjoint(path, first)
        result += first
    return result


def _same(first: Sequence[Change], second: Sequence[Change]) -> bool:
    return len(first) == len(second) and all(map(_alike, first, second))


def _alike(first: Change, second: Change) -> bool:
    flags = [(change.side, change.with_shift, change.negated) for change in (first, second)]
    return flags[0] == flags[1] and numpy.array_equal(first.channels, second.channels)


def _require_disjoint(path: str, changes: Sequence[Change]) -> None:
    """One call may be asked twice, for different channels: by two parts of its output, say."""
    for side in (Side.OUTPUT, Side.INPUT):
        taken = [change.channels >= 0 for change in changes if change.side is side]
        if taken and numpy.sum(taken, axis=0).max(initial=0) > 1:
            raise CannotFoldError("{} would take it twice", path)
