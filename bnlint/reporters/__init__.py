"""One module for each output format: `render(report, style) -> str`, pure."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from bnlint.facts.records import FactTable
    from bnlint.report import Report
    from bnlint.reporters.page.style import Style

Renderer: TypeAlias = "Callable[[Report, Style], str]"
"""Writes a report as text that ends in a line break, unless it is empty."""


FactRenderer: TypeAlias = "Callable[[FactTable, Style], str]"
"""Writes a fact table, likewise."""


def _renderer(module: str) -> Renderer:
    """The renderer of a module that is imported at its first use: `--help` needs no rich."""

    def render(report: Report, style: Style) -> str:
        found = cast("Renderer", importlib.import_module(f"bnlint.reporters.{module}").render)
        return found(report, style)

    return render


FORMATS: Final[Mapping[str, Renderer]] = {name: _renderer(f"report.{name}") for name in ("full", "concise", "json")}
"""The formats by the name that `--format` takes."""


def _fact_renderer(module: str) -> FactRenderer:
    def render(table: FactTable, style: Style) -> str:
        found = cast("FactRenderer", importlib.import_module(f"bnlint.reporters.{module}").render)
        return found(table, style)

    return render


FACT_FORMATS: Final[Mapping[str, FactRenderer]] = {
    "table": _fact_renderer("facts.table"),
    "json": _fact_renderer("facts.json"),
    "csv": _fact_renderer("facts.csv"),
}
"""The formats of fact tables by the name that `--format` takes."""
