"""The table of `docs/files.md` is that of the tests."""

from __future__ import annotations

from docs.form_table import PAGE, page, section
from tests.parity.notes import NOTES
from tests.parity.table import COLUMNS, cells


def test_the_page_has_the_table_of_today() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_fact_and_every_reason_is_in_it() -> None:
    text = section()
    for fact in cells():
        assert f"`{fact.removeprefix('model.')}`" in text
    for note in NOTES.values():
        assert f". {note.reason[0].upper()}{note.reason[1:]}.\n" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {len(COLUMNS) + 2}
