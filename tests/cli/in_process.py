"""Runs in this process what the command line runs in one of its own: torch is imported here already."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bnlint.batch import alone


def run_here(
    function: str, question: Mapping[str, Any], *, name: str, progress: Callable[[str], None], **options: Any
) -> Any:
    """As `alone.run_alone`."""
    module, _, attribute = function.partition(":")
    with contextlib.redirect_stdout(sys.stderr):
        return getattr(importlib.import_module(module), attribute)(progress=progress, **question)


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """The command line starts no process for the code of one model while the block runs; see `test_code_of_models`."""
    before = alone.run_alone
    alone.run_alone = run_here
    try:
        yield
    finally:
        alone.run_alone = before
