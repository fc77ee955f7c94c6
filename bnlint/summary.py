"""What a check of several models says besides their reports: which could not be read, and how it went altogether."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from bnlint import __version__
from bnlint.errors import BnlintError
from bnlint.report import Report, Severity

FAILURE_SCHEMA: Final = "bnlint-failure-v1"
SUMMARY_SCHEMA: Final = "bnlint-summary-v1"

_STRONGEST_FIRST: Final = (1, 2, 3, 0)
"""Findings are what a gate is for: they beat what could not be looked at."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A target without a report.

    Attributes:
        schema: Always `bnlint-failure-v1`.
        version: Version of bnlint.
        target: What was to be checked, as the user named it or as it was found.
        cause: One sentence on what is wrong.
        hint: What can be done about it; empty where there is nothing to add.
        exit_code: What the exit code would be for this target alone: 2 for wrong usage or a failure of bnlint itself,
            3 for what could not be read.
    """

    schema: Literal["bnlint-failure-v1"] = FAILURE_SCHEMA
    version: str
    target: str
    cause: str
    hint: str = ""
    exit_code: Literal[2, 3] = 3

    @classmethod
    def of(cls, target: str, error: BnlintError) -> Failure:
        """What an error leaves in place of a report.

        Args:
            target: What was to be checked.
            error: Why there is no report.
        """
        code: Literal[2, 3] = 3 if error.exit_code == 3 else 2
        return cls(version=__version__, target=target, cause=error.cause, hint=error.hint, exit_code=code)

    @property
    def sentence(self) -> str:
        """Cause and hint."""
        return f"{self.cause} {self.hint}".strip()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All targets in numbers; each is in exactly one of `errors` … `failed`.

    Attributes:
        schema: Always `bnlint-summary-v1`.
        version: Version of bnlint.
        targets: Models and files that were looked at, or could not be.
        errors: Those whose worst finding is an error.
        warnings: Those whose worst finding is a warning.
        infos: Those whose worst finding is an info.
        without_findings: Those in which nothing was found; rules may not have run on some.
        failed: Those that could not be read, or where something asked for could not be done and nothing was found.
        skipped: Other files in the folders that were named, which are no models.
        exit_code: 1 if any target has a finding at or above `fail_on`, else 2 for a failure of bnlint itself or wrong
            usage, else 3 if any could not be analysed or there is none, else 0.
    """

    schema: Literal["bnlint-summary-v1"] = SUMMARY_SCHEMA
    version: str
    targets: int = 0
    errors: int = 0
    warnings: int = 0
    infos: int = 0
    without_findings: int = 0
    failed: int = 0
    skipped: int = 0
    exit_code: Literal[0, 1, 2, 3] = 3

    def with_skipped(self) -> Summary:
        """The summary after one more file that is no model."""
        return replace(self, skipped=self.skipped + 1)

    def with_result(self, result: Report | Failure) -> Summary:
        """The summary after one more target.

        Args:
            result: Its report, or why there is none.
        """
        codes = {result.exit_code, self.exit_code if self.targets else 0}
        strongest = next(code for code in _STRONGEST_FIRST if code in codes)
        column = _column(result)
        changes = {column: getattr(self, column) + 1, "targets": self.targets + 1, "exit_code": strongest}
        return replace(self, **changes)


def _column(result: Report | Failure) -> str:
    if isinstance(result, Failure):
        return "failed"
    found = {finding.severity for finding in result.findings}
    for severity, column in ((Severity.ERROR, "errors"), (Severity.WARNING, "warnings"), (Severity.INFO, "infos")):
        if severity in found:
            return column
    return "failed" if result.unanalysed else "without_findings"
