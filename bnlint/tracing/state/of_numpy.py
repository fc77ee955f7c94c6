"""What numpy keeps for a process."""

from __future__ import annotations

from typing import Any, Final

import numpy

from bnlint.tracing.state.entry import Entry, is_other


def _has_drawn(before: Any, after: Any) -> bool:
    return before[2:] != after[2:] or not numpy.array_equal(before[1], after[1])


ENTRIES: Final = (
    Entry("numpy's handling of errors", numpy.geterr, lambda before: numpy.seterr(**before)),
    Entry("numpy's handler of errors", numpy.geterrcall, numpy.seterrcall, is_other),
    Entry("numpy's print options", numpy.get_printoptions, lambda before: numpy.set_printoptions(**before)),
    Entry(
        "the random state of `numpy.random`", numpy.random.get_state, numpy.random.set_state, _has_drawn, is_random=True
    ),
)
