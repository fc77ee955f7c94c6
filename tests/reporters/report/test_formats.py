"""What the formats write for one model and for several."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from jsonschema import Draft202012Validator, ValidationError
from msgspec.structs import replace

from bnlint.report import Report
from bnlint.reporters.page.style import Style
from bnlint.reporters.report import concise, full
from bnlint.reporters.report import json as one
from bnlint.reporters.report.format import Format, sentence
from bnlint.reporters.report.formats import FORMATS, load_format
from bnlint.reporters.schema import lines_schema, render_schema
from bnlint.summary import Failure, Summary
from tests.reporters.report.test_json import PUBLISHED
from tests.reporters.reports import NEEDS_MODULE, full_report, never_updated, report
from tests.reporters.toys import xml

FAILED = Failure(version="1", target="a\n.pt", cause="`a\n.pt` is cut short.", hint="Copy it again.")
SUMMARY = Summary(version="1", targets=12, errors=2, failed=1, without_findings=9, skipped=1, exit_code=1)
STYLE = Style()
FULL, CONCISE, JSON = map(load_format, ("full", "concise", "json"))


def test_full_gives_a_line_to_what_is_clean_and_the_report_to_what_is_not() -> None:
    clean = FULL.result(report(target="runs/a.pt", not_run=(NEEDS_MODULE,)), STYLE)
    assert clean.startswith("runs/a.pt: nothing found · ")
    assert clean.count("\n") == 1
    whole = FULL.result(report(target="runs/b.pt", findings=(never_updated(),)), STYLE)
    assert whole.startswith("\nruns/b.pt")
    assert "BN501" in whole
    assert whole.endswith("passed\n\n")
    assert FULL.result(FAILED, STYLE) == "failed `a\\n.pt` is cut short. Copy it again.\n"


def test_concise_repeats_no_remedy() -> None:
    needs = (NEEDS_MODULE, replace(NEEDS_MODULE, code="BN999"))
    text = CONCISE.result(report(target="b.pt", findings=(never_updated(),), not_run=needs), STYLE)
    *findings, last = text.splitlines()
    assert len(findings) == 53
    assert all(line.startswith("b.pt:") for line in findings)
    assert last == f"b.pt: {NEEDS_MODULE.code},BN999 not-run: {NEEDS_MODULE.remedy}"
    assert CONCISE.result(FAILED, STYLE) == "a\\n.pt: not-analysed: `a .pt` is cut short. Copy it again.\n"
    assert CONCISE.end(SUMMARY, STYLE) == ""


@pytest.mark.parametrize("record", [full_report(), report(), FAILED])
def test_json_is_one_line_that_follows_the_schema(record: object) -> None:
    line = JSON.result(record, STYLE)  # type: ignore[arg-type]
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    Draft202012Validator(lines_schema()).validate(json.loads(line))


def test_a_line_holds_what_the_report_of_one_model_holds() -> None:
    assert json.loads(JSON.result(full_report(), STYLE)) == json.loads(one.render(full_report(), STYLE))


def test_the_summary_follows_the_schema_and_what_is_none_of_the_three_does_not() -> None:
    line = json.loads(JSON.end(SUMMARY, STYLE))
    Draft202012Validator(lines_schema()).validate(line)
    del line["skipped"]
    with pytest.raises(ValidationError):
        Draft202012Validator(lines_schema()).validate(line)


def test_the_published_schema_is_not_stale_and_describes_every_property() -> None:
    published = PUBLISHED.with_name("report-lines-schema.json").read_text(encoding="utf-8")
    assert published == render_schema(lines_schema()), (
        "run `python -m bnlint.reporters.schema lines > docs/report-lines-schema.json`"
    )
    for name, definition in lines_schema()["$defs"].items():
        for key, value in definition.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key}"


def test_the_sum_as_a_sentence() -> None:
    assert sentence(SUMMARY) == (
        "12 models: 2 with errors, 1 could not be analysed, 9 without findings · 1 other file skipped"
    )
    assert sentence(Summary(version="1", targets=1, warnings=1)) == "1 model: 1 with warnings"
    assert FULL.end(SUMMARY, Style(200)) == f"\n{sentence(SUMMARY)}\n"


@pytest.mark.parametrize(
    ("form", "render"), [(FULL, full.render), (CONCISE, concise.render), (JSON, one.render)], ids=list(FORMATS)
)
def test_for_one_model_the_report_is_all_and_a_failure_leaves_stdout_empty(
    form: Format, render: Callable[[Report, Style], str]
) -> None:
    alone = form.for_one()
    results = (alone.result(full_report(), STYLE), alone.result(FAILED, STYLE))
    assert (alone.begin(STYLE), *results, alone.end(SUMMARY, STYLE)) == ("", render(full_report(), STYLE), "", "")


def test_a_document_is_written_alike_for_one_and_for_several() -> None:
    assert xml.FORMAT.for_one() is xml.FORMAT


@pytest.mark.parametrize("name", FORMATS)
def test_only_a_format_that_is_used_is_imported(name: str) -> None:
    program = (
        "import sys; from bnlint.reporters.report.formats import FORMATS, load_format; before = set(sys.modules)\n"
        "load_format(sys.argv[1]); after = set(sys.modules)\n"
        "modules = {listed.module for listed in FORMATS.values()}\n"
        "assert not before & {'rich', 'msgspec', 'dataclasses', *modules}, before\n"
        "assert modules & after == {FORMATS[sys.argv[1]].module}, after"
    )
    done = subprocess.run([sys.executable, "-c", program, name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
