"""The sum of several checks."""

from __future__ import annotations

from typing import Any

import pytest

from bnlint.report import Report, Severity
from bnlint.summary import Failure, Summary
from tests.reporters.reports import never_updated, not_traced, report, too_few_values

FAILED = Failure(version="1", target="cut.pt", cause="`cut.pt` is cut short.")
BROKEN = Failure(version="1", target="odd.pt", cause="bnlint itself failed.", exit_code=2)
CLEAN = report()
WRONG = report(findings=(too_few_values(), never_updated()))
HALF = report(unanalysed=("It could not.",))


def add(*results: Report | Failure) -> Summary:
    summary = Summary(version="1")
    for result in results:
        summary = summary.with_result(result)
    return summary


def test_each_target_is_counted_once() -> None:
    infos, warnings = report(findings=(not_traced(),)), report(findings=(not_traced(), too_few_values()))
    found = add(CLEAN, WRONG, infos, warnings, warnings, HALF, FAILED).with_skipped()
    counts = (found.errors, found.warnings, found.infos, found.without_findings, found.failed)
    assert counts == (1, 2, 1, 1, 2)
    assert (found.targets, found.skipped) == (sum(counts), 1)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ((), 3),
        ((CLEAN, CLEAN), 0),
        ((CLEAN, FAILED, CLEAN), 3),
        ((CLEAN, HALF), 3),
        ((FAILED, BROKEN, CLEAN), 2),
        ((BROKEN, WRONG, FAILED), 1),
        ((WRONG, BROKEN), 1),
        ((report(findings=(never_updated(),), fail_on=None), CLEAN), 0),
        ((report(findings=(not_traced(),), fail_on=Severity.INFO), CLEAN), 1),
    ],
)
def test_findings_beat_failures_and_failures_beat_what_is_clean(results: Any, code: int) -> None:
    assert add(*results).exit_code == add(*reversed(results)).exit_code == code


def test_files_that_are_no_models_alone_are_no_success() -> None:
    assert Summary(version="1").with_skipped().exit_code == 3
