"""Functions that a worker calls in tests; none of them needs torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from bnlint.artifacts.targets import Target
from bnlint.batch.examine import Skipped
from tests.batch import acts


def act(target: Target | str, progress: Callable[[str], None], **arguments: Any) -> Skipped:
    """Do what the name says, and answer with the number of the process."""
    progress("acting")
    acts.act(str(getattr(target, "name", target)))
    progress("done")
    return Skipped(str(os.getpid()))


def give(value: Callable[[], Any], progress: Callable[[str], None]) -> Any:
    """Answer with what a function returns."""
    return value()
