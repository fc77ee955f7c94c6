"""The fact table for programs, after `bnlint-facts-v1`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from bnlint import __version__
from bnlint.facts.records import FactTable
from bnlint.report import Location
from bnlint.reporters.facts.values import plain_facts
from bnlint.reporters.page.style import Style

FACTS_SCHEMA: Final = "bnlint-facts-v1"


def render(table: FactTable, style: Style) -> str:  # noqa: ARG001 - all formats are called alike
    """Every fact of every record as indented JSON, the same bytes for the same table.

    Args:
        table: The facts.
        style: Not used.

    Returns:
        One JSON object that `docs/facts-schema.json` admits, and a line break.
    """
    document = {
        "schema": FACTS_SCHEMA,
        "version": __version__,
        "model": plain_facts(table.model) | {"location": _location(table.model.location)},
        "norms": [
            plain_facts(record) | {"location": _location(record.location), "definition": _location(record.definition)}
            for record in table.norms
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _location(location: Location | None) -> dict[str, Any] | None:
    if location is None:
        return None
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in msgspec.structs.asdict(location).items()
    }
