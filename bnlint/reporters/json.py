"""The format for programs: the report as it is, after `bnlint-report-v1`."""

from __future__ import annotations

from typing import Any

import msgspec

from bnlint.report import Report
from bnlint.reporters.style import Style


def render(report: Report, style: Style) -> str:  # noqa: ARG001 - all formats are called alike
    """The report as indented JSON, the same bytes for the same report.

    Args:
        report: What to write; its properties `ok` and `exit_code` come last.
        style: Not used.

    Returns:
        One JSON object that the published schema admits, and a line break.
    """
    document = msgspec.to_builtins(report) | {"ok": report.ok, "exit_code": report.exit_code}
    encoded = msgspec.json.encode(_encodable(document))
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def _encodable(value: Any) -> Any:
    """The value with lone surrogates escaped: a file name that is not UTF-8 has them, and JSON cannot."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value
