"""The format for programs: the report as it is, after `bnlint-report-v1`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from bnlint.report import Report
from bnlint.reporters.page.style import Style
from bnlint.reporters.report.format import Format, nothing
from bnlint.summary import Failure, Summary


def render(report: Report, style: Style) -> str:  # noqa: ARG001 - all formats are called alike
    """The report as indented JSON, the same bytes for the same report.

    Args:
        report: What to write; its properties `ok` and `exit_code` come last.
        style: Not used.

    Returns:
        One JSON object that the published schema admits, and a line break.
    """
    return msgspec.json.format(_encoded(report), indent=2).decode() + "\n"


def render_line(record: Report | Failure | Summary, style: Style) -> str:  # noqa: ARG001 - all formats are called alike
    """A record of the check of several models as one line of JSON Lines.

    Args:
        record: What to write; a report is written as by `render`, but for the white space.
        style: Not used.

    Returns:
        One JSON object and a line break.
    """
    return _encoded(record).decode() + "\n"


def _encoded(record: Report | Failure | Summary) -> bytes:
    document = msgspec.to_builtins(record)
    if isinstance(record, Report):
        document |= {"ok": record.ok, "exit_code": record.exit_code}
    return msgspec.json.encode(_encodable(document))


def _encodable(value: Any) -> Any:
    """The value with lone surrogates escaped: a file name that is not UTF-8 has them, and JSON cannot."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value


FORMAT: Final = Format(nothing, render_line, render_line, alone=render)
