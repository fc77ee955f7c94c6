"""The formats of fact tables, one module each, which is imported when it is first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bnlint.facts.records import FactTable
    from bnlint.reporters.page.style import Style

FORMATS: Final = {
    "table": "bnlint.reporters.facts.table",
    "json": "bnlint.reporters.facts.json",
    "csv": "bnlint.reporters.facts.csv",
}
"""The modules of the formats by the name that `--format` takes; the first is the usual one."""

LISTING: Final = "bnlint.reporters.facts.listing"
"""The form of the table for people in which nothing is grouped."""


def load_renderer(module: str) -> Callable[[FactTable, Style], str]:
    """What writes a fact table as text that ends in a line break.

    Args:
        module: A value of `FORMATS`, or `LISTING`.
    """
    renderer: Callable[[FactTable, Style], str] = importlib.import_module(module).render
    return renderer
