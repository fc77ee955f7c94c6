"""One module for each output format: `render(report, style) -> str`, pure."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from bnlint.report import Report
    from bnlint.reporters.style import Style

Renderer: TypeAlias = "Callable[[Report, Style], str]"
"""Writes a report as text that ends in a line break, unless it is empty."""


def _renderer(module: str) -> Renderer:
    """The renderer of a module that is imported at its first use: `--help` needs no rich."""

    def render(report: Report, style: Style) -> str:
        found = cast("Renderer", importlib.import_module(f"bnlint.reporters.{module}").render)
        return found(report, style)

    return render


FORMATS: Final[Mapping[str, Renderer]] = {name: _renderer(name) for name in ("full", "concise", "json")}
"""The formats by the name that `--format` takes."""
