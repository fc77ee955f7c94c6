from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import bnlint
from bnlint.report import REPORT_SCHEMA, Report, Severity
from bnlint.reporters.page.style import Style
from bnlint.reporters.report.json import render
from bnlint.reporters.schema import render_schema, report_schema
from tests.reporters.reports import NEEDS_MODULE, full_report, never_updated, report

PUBLISHED = Path(bnlint.__file__).parent.parent / "docs" / "report-schema.json"


def document(value: Report) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(render(value, Style()))
    return loaded


def test_the_published_schema_is_not_stale() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == render_schema(), (
        "run `python -m bnlint.reporters.schema > docs/report-schema.json`"
    )


def test_the_schema_is_a_schema_that_describes_every_property() -> None:
    schema = report_schema()
    Draft202012Validator.check_schema(schema)
    for name, definition in schema["$defs"].items():
        assert definition["description"], name
        for key, value in definition.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key}"


@pytest.mark.parametrize("value", [full_report(), report(), report(fail_on=None), report(batch_size=4)])
def test_reports_follow_the_schema(value: Report) -> None:
    Draft202012Validator(report_schema()).validate(document(value))


def test_the_schema_refuses_what_is_no_report() -> None:
    broken = document(full_report())
    del broken["findings"]
    broken["exit_code"] = 7
    errors = list(Draft202012Validator(report_schema()).iter_errors(broken))
    assert len(errors) == 2


def test_content() -> None:
    loaded = document(report(findings=(never_updated(),), not_run=(NEEDS_MODULE,)))
    assert loaded["schema"] == REPORT_SCHEMA
    assert (loaded["ok"], loaded["exit_code"]) == (False, 1)
    assert len(loaded["findings"][0]["layers"]) == 53  # type: ignore[index]
    assert loaded["not_run"][0]["missing"] == ["training", "model_training"]  # type: ignore[index]


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render(full_report(), Style(80)) == render(full_report(), Style(120, colour=True))


def test_a_file_name_that_is_not_utf8_can_be_written() -> None:
    assert document(report(target="\udcff.pt"))["target"] == "\\udcff.pt"


@pytest.mark.parametrize(
    ("fail_on", "code"), [(Severity.ERROR, 0), (Severity.WARNING, 1), (Severity.INFO, 1), (None, 0)]
)
def test_exit_code_depends_on_the_threshold(fail_on: Severity | None, code: int) -> None:
    warning = full_report().findings[1]
    assert report(findings=(warning,), fail_on=fail_on).exit_code == code


def test_findings_beat_what_could_not_be_analysed() -> None:
    assert report(unanalysed=("It could not.",)).exit_code == 3
    assert report(unanalysed=("It could not.",), findings=(never_updated(),)).exit_code == 1
    assert report(unanalysed=("It could not.",), findings=(never_updated(),), fail_on=None).exit_code == 3
