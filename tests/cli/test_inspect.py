from __future__ import annotations

import csv
import io
import json
import types

import pytest

from bnlint.errors import NotAnalysedError
from tests.cli.conftest import Run, raises, returns
from tests.reporters.facts.test_formats import TABLE


@pytest.fixture
def table(linter: types.ModuleType) -> None:
    linter.inspect = returns(TABLE)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("table")
def test_the_table_is_the_default(run: Run) -> None:
    ended = run("inspect", "model.pt")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("model\n")
    assert ended.out == run("inspect", "model.pt", "--format", "table").out


@pytest.mark.usefixtures("table")
def test_programs_get_every_fact_with_and_without_all(run: Run) -> None:
    for more in ([], ["--all"]):
        document = json.loads(run("inspect", "model.pt", "--format", "json", *more).out)
        assert [record["layer"] for record in document["norms"]] == ['a,"b"\nc', "b"]
        text = run("inspect", "model.pt", "--format", "csv", *more).out
        assert [row["layer"] for row in csv.DictReader(io.StringIO(text, newline=""))] == ["", 'a,"b"\nc', "b"]


@pytest.mark.usefixtures("table")
def test_all_lists_each_record(run: Run) -> None:
    out = run("inspect", "model.pt", "--all").out
    assert 'a,"b"\\nc\n' in out
    assert "not ordinary" not in out


def test_an_unknown_format_names_the_right_ones(run: Run) -> None:
    ended = run("inspect", "model.pt", "--format", "yaml")
    assert (ended.code, ended.out) == (2, "")
    for name in ("table", "json", "csv"):
        assert name in ended.err


@pytest.mark.parametrize("name", ["table", "json", "csv"])
def test_what_cannot_be_read_writes_nothing(run: Run, linter: types.ModuleType, name: str) -> None:
    linter.inspect = raises(NotAnalysedError("a.pt is truncated.", "Save it again."))  # type: ignore[attr-defined]
    ended = run("inspect", "a.pt", "--format", name)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "bnlint: a.pt is truncated. Save it again.\n"
