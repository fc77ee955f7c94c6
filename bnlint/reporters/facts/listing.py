"""Every fact of every record for people, nothing grouped."""

from __future__ import annotations

from rich.text import Text

from bnlint.facts.records import FactTable, NormFacts
from bnlint.reporters.facts.text import INDENT, facts_line, families, write_model
from bnlint.reporters.page.page import Page
from bnlint.reporters.page.style import Style, layer_name


def render(table: FactTable, style: Style) -> str:
    """Every fact of every record, nothing grouped.

    Args:
        table: The facts.
        style: Width and colour.

    Returns:
        Text with a line break at its end.
    """
    page = Page(style)
    write_model(page, table)
    for record in table.norms:
        page.blank()
        page.line(Text(layer_name(record.layer), style="bold green"))
        for family, entries in families(NormFacts).items():
            page.line(facts_line(entries, record), label=f"  {family}", indent=INDENT)
    return page.text()
