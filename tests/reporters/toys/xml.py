"""A format that is a document: it has a root, and text in it is escaped."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from bnlint import __version__
from bnlint.report import Report
from bnlint.reporters.page.style import Style
from bnlint.reporters.report.format import Format
from bnlint.summary import Failure, Summary


def _begin(style: Style) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?>\n<check bnlint="{__version__}">\n'


def _result(result: Report | Failure, style: Style) -> str:
    target = quoteattr(result.target)
    if isinstance(result, Failure):
        return f"<failure target={target}>{escape(result.sentence)}</failure>\n"
    findings = "".join(f"<finding code={quoteattr(finding.code)}/>" for finding in result.findings)
    return f"<report target={target}>{findings}</report>\n"


def _end(summary: Summary, style: Style) -> str:
    return f'<summary targets="{summary.targets}" exit_code="{summary.exit_code}"/>\n</check>\n'


FORMAT = Format(_begin, _result, _end)
