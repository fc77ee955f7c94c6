"""Facts as text for people, shared by the forms of the fact table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.text import Text

from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import FactEntry, vocabulary
from bnlint.reporters.page.page import Page
from bnlint.reporters.page.style import value_text
from bnlint.text import printable

INDENT: Final = 17
"""Width of the names of families, and two spaces on each side."""


def families(record: type) -> dict[str, list[FactEntry]]:
    """The vocabulary of a record by family, without the layer's path, which is the name of the row."""
    found: dict[str, list[FactEntry]] = {}
    for entry in vocabulary(record).values():
        if entry.name != "layer":
            found.setdefault(entry.fact.family, []).append(entry)
    return found


def write_model(page: Page, table: FactTable, *, everything: bool = True) -> None:
    """The facts of the model by family, those that are unknown only with `everything`."""
    page.line(Text("model", style="bold"))
    for family, entries in families(ModelFacts).items():
        shown = [entry for entry in entries if everything or entry.of(table.model) is not UNKNOWN]
        if shown:
            # With spaces between names, so that a long list of them wraps there.
            pairs = [(entry.name, show(entry.of(table.model)).replace(",", ", ")) for entry in shown]
            page.line(pairs_line(pairs), label=f"  {family}", indent=INDENT)


def facts_line(entries: Sequence[FactEntry], record: NormFacts | ModelFacts) -> Text:
    """Facts of a record as `name=value`, one space between them."""
    return pairs_line([(entry.name, show(entry.of(record))) for entry in entries])


def pairs_line(pairs: Sequence[tuple[str, str]]) -> Text:
    """Names and values as `name=value`, one space between them."""
    return Text(" ").join(Text.assemble((f"{name}=", "dim"), value) for name, value in pairs)


def show(value: Any) -> str:
    """A fact's value as a cell shows it: `?` for unknown, sizes as `1×64×7×7`, sets in alphabetical order."""
    if value is UNKNOWN:
        return "?"
    if isinstance(value, tuple):
        return "×".join(map(str, value))
    if isinstance(value, frozenset):
        return value_text(sorted(value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return printable(value_text(value))
