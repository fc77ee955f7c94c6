"""The fact table for spreadsheets and data frames: RFC 4180, one row for each record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.vocabulary import vocabulary
from bnlint.report import Location
from bnlint.reporters.facts.values import plain_facts
from bnlint.reporters.page.style import Style


def render(table: FactTable, style: Style) -> str:  # noqa: ARG001 - all formats are called alike
    """Every fact of every record.

    The first column, `of`, is `model` in the first row and `norm` in the others, as in rule files. The columns of facts
    that only the other record has are empty.

    Args:
        table: The facts.
        style: Not used.

    Returns:
        A line of column names, then one for each record, each ending in CR LF. Cells are written as by `cell`;
        `location` and `definition` are `file:line`.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, list(_columns()), restval="")
    writer.writeheader()
    records: list[ModelFacts | NormFacts] = [table.model, *table.norms]
    for record in records:
        cells = {name: cell(value) for name, value in plain_facts(record).items()}
        cells["of"] = "model" if isinstance(record, ModelFacts) else "norm"
        cells["location"] = _place(record.location)
        if isinstance(record, NormFacts):
            cells["definition"] = _place(record.definition)
        writer.writerow(cells)
    return file.getvalue()


def cell(value: Any) -> str:
    """A value as one cell.

    Args:
        value: A value of `plain_facts`.

    Returns:
        Flags and numbers as in JSON, `null` for what does not apply, texts as they are. The items of a set or of a
        shape are joined by spaces; a space or a backslash within an item has a backslash before it.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(str(item).replace("\\", "\\\\").replace(" ", "\\ ") for item in value)
    return json.dumps(value)


def _columns() -> Iterator[str]:
    norm, model = vocabulary(NormFacts), vocabulary(ModelFacts)
    yield "of"
    yield from norm
    yield from (name for name in model if name not in norm)
    yield from ("location", "definition")


def _place(location: Location | None) -> str:
    if location is None:
        return ""
    return f"{location.file}:{location.line}".encode("utf-8", "backslashreplace").decode()
