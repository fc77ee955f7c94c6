"""The fact table for people: what all layers share is said once, and layers that agree stand in one row."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

from rich.text import Text

from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import FactEntry, remedy, vocabulary
from bnlint.grouping import summarise
from bnlint.reporters.page import Page
from bnlint.reporters.style import Style, counted, layer_name, printable, value_text

ROWS_SHOWN: Final = 16
HEADING_WIDTH: Final = 14
"""Longest line of a column heading, in characters; longer names are broken at their underscores."""
LINES_OF_LAYERS: Final = 2
NARROWEST_LAYERS: Final = 16
INDENT: Final = 17
"""Width of the names of families, and two spaces on each side."""

Record = NormFacts | ModelFacts


def render(table: FactTable, style: Style) -> str:
    """The facts by family: first those that all layers share, then a table of those that differ.

    Args:
        table: The facts.
        style: Width and colour.

    Returns:
        Text with a line break at its end. Facts that no layer has stand last, with what would supply them.
    """
    page = Page(style)
    _model(page, table)
    for family, entries in _families(NormFacts).items():
        known = [entry for entry in entries if not _all_unknown(entry, table.norms)]
        if table.norms and known:
            _family(page, family, known, table.norms, style.width)
    _unknown(page, table)
    return page.text()


def render_all(table: FactTable, style: Style) -> str:
    """Every fact of every record, nothing grouped.

    Args:
        table: The facts.
        style: Width and colour.

    Returns:
        Text with a line break at its end.
    """
    page = Page(style)
    _model(page, table)
    for record in table.norms:
        page.blank()
        page.line(Text(layer_name(record.layer), style="bold green"))
        for family, entries in _families(NormFacts).items():
            page.line(_facts(entries, record), label=f"  {family}", indent=INDENT)
    return page.text()


def _model(page: Page, table: FactTable) -> None:
    page.line(Text("model", style="bold"))
    for family, entries in _families(ModelFacts).items():
        page.line(_facts(entries, table.model), label=f"  {family}", indent=INDENT)


def _families(record: type) -> dict[str, list[FactEntry]]:
    """The vocabulary of a record by family, without the layer's path, which is the name of the row."""
    found: dict[str, list[FactEntry]] = {}
    for entry in vocabulary(record).values():
        if entry.name != "layer":
            found.setdefault(entry.fact.family, []).append(entry)
    return found


def _family(page: Page, family: str, entries: list[FactEntry], records: Sequence[NormFacts], width: int) -> None:
    shared = [entry for entry in entries if len({show(getattr(record, entry.name)) for record in records}) == 1]
    differing = [entry for entry in entries if entry not in shared]
    page.blank()
    page.line(Text(family, style="bold"))
    if shared:
        layers = len({record.layer for record in records})
        label = f"  all {counted(layers, 'layer')}" if layers > 1 else f"  {layer_name(records[0].layer)}"
        page.line(_facts(shared, records[0]), label=label, indent=max(INDENT, len(label) + 2))
    if differing:
        _table(page, differing, records, width)


def _table(page: Page, entries: Sequence[FactEntry], records: Sequence[NormFacts], width: int) -> None:
    rows: dict[tuple[str, ...], list[str]] = {}
    for record in records:
        values = tuple(show(getattr(record, entry.name)) for entry in entries)
        rows.setdefault(values, []).append(record.layer)
    shown = list(itertools.islice(rows.items(), ROWS_SHOWN))
    headings = [_heading(entry.name) for entry in entries]
    columns = zip(headings, *(values for values, _ in shown), strict=True)
    others = sum(2 + max(len(line) for cell in column for line in cell.splitlines()) for column in columns)
    room = LINES_OF_LAYERS * max(width - 2 - others, NARROWEST_LAYERS)
    page.table(["layers", *headings], [(summarise(layers, room), *values) for values, layers in shown])
    left = len(rows) - len(shown)
    if left:
        page.line(Text(f"  and {counted(left, 'more row')}: --all shows every layer", style="dim"))


def _heading(name: str) -> str:
    """A fact's name in lines that are short, so that many columns fit."""
    lines = [""]
    for word in name.split("_"):
        joined = f"{lines[-1]}_{word}" if lines[-1] else word
        if len(joined) <= HEADING_WIDTH:
            lines[-1] = joined
        else:
            lines.append(f"_{word}")
    return "\n".join(lines)


def _unknown(page: Page, table: FactTable) -> None:
    """The facts that no record has, by what would supply them."""
    by_remedy: dict[str, list[str]] = {}
    for entry in vocabulary(NormFacts).values():
        if table.norms and _all_unknown(entry, table.norms):
            supply = remedy((entry.name,), NormFacts, table.available) or "could not be established"
            by_remedy.setdefault(supply, []).append(entry.name)
    if not by_remedy:
        return
    page.blank()
    page.line(Text("unknown", style="bold"))
    for supply, names in by_remedy.items():
        page.line(", ".join(names), label="  ", indent=2)
        page.line(supply, label="    ", indent=4)


def _all_unknown(entry: FactEntry, records: Sequence[Record]) -> bool:
    return all(getattr(record, entry.name) is UNKNOWN for record in records)


def _facts(entries: Sequence[FactEntry], record: Record) -> Text:
    pairs = [((f"{entry.name}=", "dim"), show(getattr(record, entry.name))) for entry in entries]
    return Text(" ").join(Text.assemble(name, value) for name, value in pairs)


def show(value: Any) -> str:
    """A fact's value as a cell shows it: `?` for unknown, sizes as `1×64×7×7`, sets in alphabetical order."""
    if value is UNKNOWN:
        return "?"
    if isinstance(value, tuple):
        return "×".join(map(str, value))
    if isinstance(value, frozenset):
        return value_text(sorted(value))
    return printable(value_text(value))
