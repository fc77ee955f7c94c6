"""What the statistics of a layer are beside those of the other layers of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, TypedDict

from bnlint.facts.unknown import UNKNOWN, Maybe


class ComparisonFacts(TypedDict):
    """The fields of `NormFacts` that take the other layers to know."""

    others_with_statistics: Maybe[int | None]
    usual_batches_counted: Maybe[int | None]
    batches_counted_ratio: Maybe[float | None]


class Comparison:
    """Compares the layers of one model.

    Args:
        layers: The statistics of each layer, each layer once.
    """

    def __init__(self, layers: Collection[Mapping[str, Any]]) -> None:
        moved = [_moved(facts) for facts in layers]
        self._moved = sum(value is True for value in moved)
        self._unknown = sum(value is UNKNOWN for value in moved)
        counts = [facts["batches_counted"] for facts in layers]
        self._counts_known = UNKNOWN not in counts
        self._usual = _most_common([count for count in counts if count is not UNKNOWN and count])

    def facts(self, own: Mapping[str, Any], *, among_them: bool) -> ComparisonFacts:
        """The facts of one layer, by field name of `NormFacts`.

        Args:
            own: Its statistics.
            among_them: Whether it is one of the layers; a function, or a layer outside the module tree, is not.
        """
        moved = _moved(own)
        others: Maybe[int | None] = self._moved - (among_them and moved is True)
        if self._unknown - (among_them and moved is UNKNOWN) > 0:
            others = UNKNOWN
        count = own["batches_counted"]
        usual: Maybe[int | None] = self._usual if self._counts_known else UNKNOWN
        ratio: Maybe[float | None] = None
        if count is UNKNOWN or usual is UNKNOWN:
            ratio = UNKNOWN
        elif count and usual:
            ratio = count / usual
        return ComparisonFacts(
            others_with_statistics=None if moved is None else others,
            usual_batches_counted=usual,
            batches_counted_ratio=ratio,
        )


def _moved(facts: Mapping[str, Any]) -> Maybe[bool | None]:
    """Whether data has moved the statistics of a layer; `None` where it keeps none."""
    initial = facts["statistics_at_initial_values"]
    if initial is None or initial is UNKNOWN or not initial:
        return None if initial is None else UNKNOWN if initial is UNKNOWN else True
    return facts["batches_counted"] not in (0, None, UNKNOWN)


def _most_common(counts: list[int]) -> int | None:
    """The count that most layers share, the smallest of several: what is twice as high is what stands out."""
    shares = Counter(counts)
    return min(shares, key=lambda count: (-shares[count], count)) if shares else None
