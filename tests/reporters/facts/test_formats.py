"""The fact table as JSON and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import bnlint
from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import FactEntry, vocabulary
from bnlint.report import Location
from bnlint.reporters.facts import csv as fact_csv
from bnlint.reporters.facts import json as fact_json
from bnlint.reporters.facts.formats import FORMATS, load_renderer
from bnlint.reporters.facts.schema import facts_schema
from bnlint.reporters.page.style import Style
from bnlint.reporters.schema import render_schema

PUBLISHED = Path(bnlint.__file__).parent.parent / "docs" / "facts-schema.json"
PLAIN = Style()
NASTY = ['a,b"c\nd', "e\r\nf", "=1+1", "", "unknown", "\\ x", "Ω", "\ud800", "null", " ", "\x00"]

TEXTS = st.one_of(st.sampled_from(NASTY), st.text(max_size=6))
NUMBERS = st.one_of(st.integers(-(2**40), 2**40))


def values(entry: FactEntry) -> st.SearchStrategy[Any]:
    """Any value that the type of a fact admits."""
    names = st.sampled_from(entry.fact.values) if entry.fact.values else TEXTS
    return _values(entry.type, names)


def _values(annotation: Any, names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    if annotation is str:
        return names
    simple = {bool: st.booleans(), int: NUMBERS, float: st.floats(), type(None): st.none()}
    if annotation in simple:
        return simple[annotation]
    origin = get_origin(annotation)
    if origin is frozenset:
        return st.frozensets(names, max_size=3)
    if origin is tuple:
        return st.lists(NUMBERS, max_size=3).map(tuple)
    if get_args(annotation) == (UNKNOWN,):
        return st.just(UNKNOWN)
    return st.one_of(*(_values(member, names) for member in get_args(annotation)))


LOCATIONS = st.one_of(st.none(), st.builds(Location, TEXTS, st.integers(1, 9), TEXTS, TEXTS))


def records(record: type) -> st.SearchStrategy[Any]:
    facts = {name: values(entry) for name, entry in vocabulary(record).items()}
    others = [field.name for field in dataclasses.fields(record) if field.name not in facts]
    return st.builds(record, **facts, **dict.fromkeys(others, LOCATIONS))


TABLES = st.builds(FactTable, records(ModelFacts), st.lists(records(NormFacts), max_size=2).map(tuple))


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def parse(cell: str, like: Any) -> Any:
    """A cell as the value that JSON has, whose sort the reader knows from the schema."""
    if isinstance(like, str):
        return cell
    if isinstance(like, list):
        items = [
            re.sub(r"\\(.)", r"\1", item, flags=re.DOTALL) for item in re.findall(r"(?:\\.|[^ \\])+", cell, re.DOTALL)
        ]
        return [int(item) for item in items] if like and isinstance(like[0], int) else items
    return json.loads(cell)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(table=TABLES)
def test_csv_and_json_hold_the_same_values(table: FactTable) -> None:
    document = json.loads(fact_json.render(table, PLAIN))
    rows = read_csv(fact_csv.render(table, PLAIN))
    assert [row["of"] for row in rows] == ["model", *("norm" for _ in table.norms)]
    for row, written, record in zip(
        rows, [document["model"], *document["norms"]], [table.model, *table.norms], strict=True
    ):
        facts = vocabulary(type(record))
        for name in facts:
            expected = written[name]
            if isinstance(expected, list) and "" in expected:
                continue  # an empty name is no path of a layer; a join cannot show it
            assert parse(row[name], expected) == expected, name
        for name in set(vocabulary(NormFacts)) ^ set(vocabulary(ModelFacts)):
            assert name in facts or row[name] == ""


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(table=TABLES)
def test_any_table_follows_the_schema(table: FactTable) -> None:
    Draft202012Validator(facts_schema()).validate(json.loads(fact_json.render(table, PLAIN)))


def test_the_published_schema_is_not_stale() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == render_schema(facts_schema()), (
        "run `python -m bnlint.reporters.facts.schema > docs/facts-schema.json`"
    )


def test_the_schema_is_a_schema_that_describes_every_property() -> None:
    schema = facts_schema()
    Draft202012Validator.check_schema(schema)
    for definition in (schema, *schema["$defs"].values()):
        for key, value in definition["properties"].items():
            assert value.get("description"), key


MODEL = ModelFacts(
    class_name="Net",
    form="module",
    norm_layers=2,
    batch_norm_layers=2,
    graph="none",
    can_be_traced=False,
)
TABLE = FactTable(
    MODEL,
    (
        NormFacts(
            layer='a,"b"\nc',
            kind="batch_norm",
            training=False,
            momentum=0.1,
            batches_counted=None,
            fed_by=frozenset({"linear", "addition"}),
            folds_into=frozenset({"my conv", "d"}),
            input_shape=(1, 8),
            location=Location("net.py", 3, "forward", "x = self.bn(x)"),
        ),
        NormFacts(layer="b", kind="layer_norm", nonfinite_tensors=frozenset(), eps=float("inf")),
    ),
)


def test_json_content() -> None:
    document = json.loads(fact_json.render(TABLE, PLAIN))
    first, second = document["norms"]
    assert (document["schema"], document["version"]) == ("bnlint-facts-v1", bnlint.__version__)
    assert document["model"]["class_name"] == "Net"
    assert first["layer"] == 'a,"b"\nc'
    assert (first["training"], first["momentum"], first["batches_counted"]) == (False, 0.1, None)
    assert (first["fed_by"], first["input_shape"]) == (["addition", "linear"], [1, 8])
    assert first["channels"] == "unknown"
    assert first["location"] == {"file": "net.py", "line": 3, "function": "forward", "code": "x = self.bn(x)"}
    assert (second["nonfinite_tensors"], second["eps"], second["definition"]) == ([], "Infinity", None)


def test_the_schema_refuses_what_is_no_table() -> None:
    document = json.loads(fact_json.render(TABLE, PLAIN))
    document["norms"][0]["training"] = "yes"
    document["norms"][0]["fed_by"] = ["magic"]
    del document["norms"][1]["kind"]
    assert len(list(Draft202012Validator(facts_schema()).iter_errors(document))) == 3


def test_csv_content() -> None:
    text = fact_csv.render(TABLE, PLAIN)
    model, first, second = read_csv(text)
    assert (model["of"], model["class_name"], model["form"], model["layer"]) == ("model", "Net", "module", "")
    assert (first["of"], first["form"]) == ("norm", "")
    assert first["layer"] == 'a,"b"\nc'
    assert (first["training"], first["momentum"], first["batches_counted"]) == ("false", "0.1", "null")
    assert (first["fed_by"], first["folds_into"], first["input_shape"]) == ("addition linear", r"d my\ conv", "1 8")
    assert (first["channels"], first["location"], first["definition"]) == ("unknown", "net.py:3", "")
    assert (second["nonfinite_tensors"], second["eps"]) == ("", "Infinity")


def test_csv_is_rfc_4180() -> None:
    text = fact_csv.render(TABLE, PLAIN)
    assert '"a,""b""\nc"' in text
    header = text.split("\r\n", maxsplit=1)[0].split(",")
    assert header[:3] == ["of", "layer", "kind"]
    assert len(set(header)) == len(header)
    assert {len(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True)} == {len(header)}
    assert text.endswith("\r\n")


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_table_gives_the_same_text(name: str) -> None:
    again = dataclasses.replace(TABLE, norms=tuple(dataclasses.replace(record) for record in TABLE.norms))
    render = load_renderer(FORMATS[name])
    assert render(TABLE, PLAIN) == render(again, PLAIN)


@pytest.mark.parametrize("name", ["json", "csv"])
def test_a_model_without_normalisation_still_has_its_own_facts(name: str) -> None:
    text = load_renderer(FORMATS[name])(FactTable(MODEL, ()), PLAIN)
    assert "Net" in text
    rows = read_csv(text) if name == "csv" else [json.loads(text)["model"]]
    assert len(rows) == 1
