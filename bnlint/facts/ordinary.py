"""What is not ordinary about the layers: where a fact's value is not one that calls for no attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import FactEntry, Ordinary, vocabulary

COMMON_SHARE: Final = Fraction(9, 10)
"""The share of the layers of a kind from which on a value is common. With half or two thirds, the third convolution of
every ResNet bottleneck would stand out; at nine tenths the exceptions in a healthy model are few."""


@dataclass(frozen=True)
class Unusual:
    """The records in which one fact is not ordinary, among those for which the same values are ordinary.

    Attributes:
        entry: The fact.
        ordinary: Its ordinary values.
        common: Whether these are ordinary only because most layers of the kind have them.
        peers: The records for which these values are ordinary and that have a known value.
        records: Those among them that have another value, in call order.
    """

    entry: FactEntry
    ordinary: tuple[Any, ...]
    common: bool
    peers: tuple[NormFacts, ...]
    records: tuple[NormFacts, ...]


def unusual(records: Iterable[NormFacts]) -> tuple[Unusual, ...]:
    """What is not ordinary: first by the values that facts declare, then by what most layers of a kind share.

    A fact that is unknown is neither ordinary nor not.

    Args:
        records: The records of normalisation calls.

    Returns:
        One entry for each fact, and for each kind where the common value counts, in the order of the vocabulary.
    """
    everything = tuple(records)
    found = [item for entry in vocabulary(NormFacts).values() for item in _of_fact(entry, everything) if item.records]
    return tuple(sorted(found, key=lambda item: item.common))


def _of_fact(entry: FactEntry, records: Sequence[NormFacts]) -> Iterator[Unusual]:
    fact = entry.fact
    if fact.ordinary is Ordinary.ANY:
        return
    known = [record for record in records if entry.of(record) is not UNKNOWN]
    declared: list[NormFacts] = []
    if isinstance(fact.ordinary, tuple):
        declared = [record for record in known if not fact.ordinary_of or record.kind in fact.ordinary_of]
        yield _compare(entry, declared, fact.ordinary, common=False)
    compared = {id(record) for record in declared}
    for peers in split_by(lambda record: record.kind, [record for record in known if id(record) not in compared]):
        value, count = Counter(entry.of(record) for record in peers).most_common(1)[0]
        if count >= COMMON_SHARE * len(peers):
            yield _compare(entry, peers, (value,), common=True)


def _compare(entry: FactEntry, peers: Sequence[NormFacts], ordinary: tuple[Any, ...], *, common: bool) -> Unusual:
    others = tuple(record for record in peers if entry.of(record) not in ordinary)
    return Unusual(entry, ordinary, common, tuple(peers), others)


def split_by(key: Callable[[NormFacts], Any], records: Iterable[NormFacts]) -> list[list[NormFacts]]:
    """The records in groups that agree in a key, both in the order of their first appearance."""
    found: dict[Any, list[NormFacts]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record)
    return list(found.values())
