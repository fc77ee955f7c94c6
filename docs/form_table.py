"""Writes the part of `docs/files.md` that says which form tells what: `python -m docs.form_table`, or `make docs`.

The table is that of the tests: `tests/parity/table.py` says what each form holds, and is tested fact by fact.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Final

from bnlint.facts.records import ModelFacts, NormFacts
from bnlint.facts.vocabulary import vocabulary
from tests.parity.notes import NOTES
from tests.parity.table import COLUMNS, cells

PAGE: Final = Path(__file__).parent / "files.md"
_START: Final = "<!-- written by docs/form_table.py: change tests/parity/table.py, and run `make docs` -->\n"
_END: Final = "<!-- end -->\n"
_KNOWN: Final = "✓"
_UNKNOWN: Final = "–"


def section() -> str:
    """The table, a row for the facts of a family that the forms hold alike, and its notes."""
    numbers = _numbers()
    heads = ["facts", *COLUMNS.values()]
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    for family, facts in _families().items():
        lines.append(f"| **{family}** |" + " |" * len(COLUMNS))
        for row, alike in groupby(sorted(facts, key=lambda fact: _row(fact, facts)), lambda fact: tuple(_cells(fact))):
            names = ", ".join(f"`{fact.rpartition('.')[2]}`" for fact in alike)
            lines.append(f"| {names} | " + " | ".join(_shown(cell, numbers) for cell in row) + " |")
    notes = [f"{number}. {reason[0].upper()}{reason[1:]}." for reason, number in numbers.items()]
    return "\n".join(lines) + "\n\n" + "\n".join(notes) + "\n"


def page() -> str:
    """The text of the page with the table of today."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_START)
    _, _, after = rest.partition(_END)
    return f"{before}{_START}\n{section()}\n{_END}{after}"


def _families() -> dict[str, list[str]]:
    """The facts by family, those of the model last."""
    families: dict[str, list[str]] = {}
    for fact, entry in vocabulary(NormFacts).items():
        families.setdefault(entry.fact.family, []).append(fact)
    families["the model as a whole"] = [f"model.{fact}" for fact in vocabulary(ModelFacts)]
    return families


def _cells(fact: str) -> list[str]:
    return list(cells()[fact].values())


def _row(fact: str, facts: list[str]) -> int:
    """Where the first fact with the same cells stands."""
    return next(place for place, other in enumerate(facts) if _cells(other) == _cells(fact))


def _numbers() -> dict[str, int]:
    """The reasons, numbered as they come in the table."""
    used = [cell for facts in _families().values() for fact in facts for cell in _cells(fact) if cell in NOTES]
    return {reason: number for number, reason in enumerate(dict.fromkeys(NOTES[cell].reason for cell in used), 1)}


def _shown(cell: str, numbers: dict[str, int]) -> str:
    if cell in NOTES:
        return f"({numbers[NOTES[cell].reason]})"
    return _KNOWN if cell == "=" else _UNKNOWN


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
