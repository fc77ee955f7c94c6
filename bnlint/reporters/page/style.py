"""How a report is to look, and the few text helpers that every format shares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TextIO

from bnlint.report import FactValue, Location, Severity
from bnlint.reporters.page.grouping import MODEL
from bnlint.text import printable

NARROWEST: Final = 40
WIDEST: Final = 120
"""Prose of more than about 120 columns is hard to read."""
WIDTH_OF_A_PIPE: Final = 80

COLOURS: Final = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold blue"}
"""Of each severity, as rich names them."""


@dataclass(frozen=True)
class Style:
    """The surroundings that a report is written for.

    Attributes:
        width: Columns to fill, at least 1.
        colour: Whether escape sequences for colours may be written.
    """

    width: int = WIDTH_OF_A_PIPE
    colour: bool = False

    @classmethod
    def of_stream(cls, stream: TextIO) -> Style:
        """The style that suits a stream: plain for a pipe or where `NO_COLOR` is set, else that of the terminal."""
        columns = shutil.get_terminal_size((WIDTH_OF_A_PIPE, 24)).columns
        width = min(max(columns, NARROWEST), WIDEST)
        wants_colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(width, stream.isatty() and wants_colour)


def layer_name(layer: str) -> str:
    """A layer path as a person reads it; the empty one is the model itself."""
    return printable(layer) or MODEL


def place(location: Location) -> str:
    """A location as `file:line`, which editors and terminals can open."""
    return f"{printable(location.file)}:{location.line}"


def facts_text(facts: Mapping[str, FactValue]) -> str:
    """Facts as `name=value`, one space between them, so that each can be searched for."""
    return " ".join(f"{name}={value_text(value)}" for name, value in facts.items())


def value_text(value: FactValue) -> str:
    """A fact's value as a person reads it.

    Args:
        value: The value.

    Returns:
        `true`, `false`, a number (to six digits if it is no whole one), a text, a list joined by commas, `none` for
        what does not apply and `nothing` for an empty list or text.
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    items = (value,) if isinstance(value, str | int) else value
    return ",".join(printable(str(item)) for item in items) or "nothing"


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 layer`, `2 layers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
