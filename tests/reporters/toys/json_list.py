"""A format that is a list in JSON: its results have commas between them, and its end no numbers."""

from __future__ import annotations

import msgspec

from bnlint.report import Report
from bnlint.reporters.page.style import Style
from bnlint.reporters.report.format import Format
from bnlint.summary import Failure, Summary


def _begin(style: Style) -> str:
    return "["


def _result(result: Report | Failure, style: Style) -> str:
    return msgspec.json.encode({"target": result.target, "failed": isinstance(result, Failure)}).decode()


def _end(summary: Summary, style: Style) -> str:
    return "]\n"


FORMAT = Format(_begin, _result, _end, between=", ", sums_up=False)
