"""The fact table for people: first what is not ordinary, then for each kind what its layers share and differ in."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from rich.text import Text

from bnlint.facts.ordinary import Unusual, split_by, unusual
from bnlint.facts.records import FactTable, ModelFacts, NormFacts, why_unknown
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import FactEntry, remedy, vocabulary
from bnlint.reporters.facts.text import INDENT, families, pairs_line, show, write_model
from bnlint.reporters.page.grouping import summarise
from bnlint.reporters.page.page import Column, Page
from bnlint.reporters.page.style import Style, counted
from bnlint.text import printable

VALUES_SHOWN: Final = 4
"""Values of one fact that have a row of their own."""
BLOCKS_SHOWN: Final = 16
"""Sets of layers with facts that are not ordinary."""
LINES_OF_LAYERS: Final = 2
SHARE_OF_VALUES: Final = 3
"""The column of values takes at most the third part of the page."""
NARROWEST_VALUES: Final = 12
EDGES: Final = 10
"""Columns that a table of three loses to its indent and gaps."""

Unusuals = Mapping[str, Collection[int]]
"""For each fact, the `id` of the records in which it is not ordinary."""


def render(table: FactTable, style: Style) -> str:
    """The layers with facts that are not ordinary, then the ordinary facts by kind and family.

    Args:
        table: The facts.
        style: Width and colour.

    Returns:
        Text with a line break at its end. Facts that no layer has stand last, with what would supply them.
    """
    page = Page(style)
    write_model(page, table, everything=False)
    if not table.norms:
        page.blank()
        page.line("No normalisation layer was found.")
        _unknown(page, table)
        return page.text()
    found = unusual(table.norms)
    _unusual(page, found, table.norms, style.width)
    hidden: dict[str, set[int]] = {}
    for item in found:
        hidden.setdefault(item.entry.name, set()).update(map(id, item.records))
    for records in split_by(lambda record: record.kind, table.norms):
        _kind(page, records, _unknown_facts(NormFacts, table.norms), hidden, style.width)
    _unknown(page, table)
    return page.text()


def _unusual(page: Page, found: Sequence[Unusual], records: Sequence[NormFacts], width: int) -> None:
    """A row for each fact that is not ordinary and for each such value; facts of the same layers stand together."""
    by_layers: dict[tuple[str, ...], list[tuple[str, str, str]]] = {}
    for item in found:
        ordinary = " or ".join(map(show, item.ordinary))
        if item.common:
            ordinary += f" ({len(item.peers) - len(item.records)} of {len(item.peers)})"
        for value, having in _values(item.entry, item.records):
            by_layers.setdefault(_layers(having), []).append((item.entry.name, value, f"ordinary: {ordinary}"))
    layers = _layers(records)
    page.blank()
    if not by_layers:
        page.line(Text.assemble(("not ordinary", "bold"), " · nothing, among the facts that are known"))
        return
    concerned = len(set[str]().union(*by_layers))
    page.line(Text.assemble(("not ordinary", "bold"), f" · {concerned} of {counted(len(layers), 'layer')}"))
    rows = [row for block in by_layers.values() for row in block]
    names, values, notes = (max(map(len, cells)) for cells in zip(*rows, strict=True))
    room = max(width - names - notes - EDGES, NARROWEST_VALUES)
    columns = [Column(width=names + 2), Column(style="yellow", width=min(values, room)), Column(style="dim")]
    for having_them, block in itertools.islice(by_layers.items(), BLOCKS_SHOWN):
        page.line(Text(printable(_named(having_them, layers, LINES_OF_LAYERS * (width - 2))), style="green"), indent=2)
        page.grid(columns, [(f"  {name}", *row) for name, *row in block])
    hidden = set[str]().union(*list(by_layers)[BLOCKS_SHOWN:])
    if hidden:
        page.line(Text(f"  and more of {counted(len(hidden), 'layer')}: --all shows every fact", style="dim"))


def _kind(page: Page, records: Sequence[NormFacts], skipped: Collection[str], hidden: Unusuals, width: int) -> None:
    calls = f", {counted(len(records), 'record')}" if len(records) > len(_layers(records)) else ""
    page.blank()
    kind = "of unknown kind" if records[0].kind is UNKNOWN else records[0].kind
    page.line(Text.assemble((kind, "bold"), f" · {counted(len(_layers(records)), 'layer')}{calls}"))
    for family, entries in families(NormFacts).items():
        left = [entry for entry in entries if entry.name not in skipped and entry.name != "kind"]
        if left:
            _family(page, family, left, records, hidden, width)


def _family(
    page: Page, family: str, entries: Sequence[FactEntry], records: Sequence[NormFacts], hidden: Unusuals, width: int
) -> None:
    """What all layers share in one paragraph, then a row for each value of the facts in which they differ."""
    shared: list[tuple[str, str]] = []
    but_for: list[tuple[str, str]] = []
    differing: list[tuple[str, str, str, str]] = []
    name_width = max(len(entry.name) for entry in entries)
    room = LINES_OF_LAYERS * max(width - name_width - width // SHARE_OF_VALUES - 13, 16)
    for entry in entries:
        ordinary = [record for record in records if id(record) not in hidden.get(entry.name, ())]
        values = _values(entry, ordinary)
        if len(values) == 1 and " " not in values[0][0]:
            (shared if len(ordinary) == len(records) else but_for).append((entry.name, values[0][0]))
            continue
        for place, (value, having) in enumerate(values):
            layers = _layers(having)
            name = "" if place else entry.name
            differing.append((name, value, str(len(layers)), _named(layers, _layers(records), room)))
    label = f"  {family}"
    for start, pairs in (("", shared), ("but for the above: ", but_for)):
        if pairs:
            page.line(Text.assemble((start, "dim"), pairs_line(pairs)), label=label, indent=INDENT)
            label = ""
    if label:
        page.line(Text(label, style="dim"))
    if differing:
        columns = [Column(wraps=False), Column(), Column(right=True, wraps=False), Column(style="green")]
        page.grid(columns, [("  " + name, *row) for name, *row in differing])


def _values(entry: FactEntry, records: Sequence[NormFacts]) -> list[tuple[str, list[NormFacts]]]:
    """The values and the records that have them, most frequent first; many numbers as a range, others cut short."""
    groups = sorted(split_by(lambda record: show(entry.of(record)), records), key=len, reverse=True)
    numbers = [record for record in records if isinstance(entry.of(record), int | float)]
    if len({entry.of(record) for record in numbers}) <= VALUES_SHOWN:
        return _cut(groups, entry)
    ranked = sorted(numbers, key=entry.of)
    others = [group for group in groups if not isinstance(entry.of(group[0]), int | float)]
    return [(f"{show(entry.of(ranked[0]))} … {show(entry.of(ranked[-1]))}", ranked), *_cut(others, entry)]


def _cut(groups: Sequence[list[NormFacts]], entry: FactEntry) -> list[tuple[str, list[NormFacts]]]:
    """The most frequent values; those that are left, or that only one record has, stand together as a number."""
    kept = len(groups) if len(groups) <= VALUES_SHOWN else sum(len(group) > 1 for group in groups[: VALUES_SHOWN - 1])
    rows = [(show(entry.of(group[0])), group) for group in groups[:kept]]
    rest = list(itertools.chain(*groups[kept:]))
    return [*rows, (f"{len(groups) - kept} {'other' if kept else 'different'} values", rest)] if rest else rows


def _layers(records: Sequence[NormFacts]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(record.layer for record in records))


def _named(layers: Sequence[str], everything: Sequence[str], room: int) -> str:
    if len(layers) == len(everything) > 1:
        return f"all {counted(len(layers), 'layer')}"
    return summarise(layers, room)


def _unknown_facts(record: type, records: Sequence[NormFacts | ModelFacts]) -> list[str]:
    """The facts that none of the records has."""
    return [name for name, entry in vocabulary(record).items() if all(entry.of(item) is UNKNOWN for item in records)]


def _unknown(page: Page, table: FactTable) -> None:
    """The facts that no record has, by what would supply them."""
    by_remedy: dict[str, list[str]] = {}
    for record, records in ((ModelFacts, (table.model,)), (NormFacts, table.norms)):
        for name in _unknown_facts(record, records) if records else ():
            supply = remedy((name,), record, table.available, table.advice) or why_unknown((name,), record, table)
            by_remedy.setdefault(supply or "could not be established", []).append(name)
    if not by_remedy:
        return
    page.blank()
    page.line(Text("unknown", style="bold"))
    for supply, names in by_remedy.items():
        page.line(", ".join(dict.fromkeys(names)), label="  ", indent=2)
        page.line(supply, label="    ", indent=4)
