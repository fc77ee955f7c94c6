"""The formats for several models: what is written as each result comes, and at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from bnlint.report import Report
from bnlint.reporters.page.page import Page
from bnlint.reporters.page.style import Style, counted
from bnlint.reporters.report import concise, full, json
from bnlint.summary import Failure, Summary
from bnlint.text import printable


@dataclass(frozen=True)
class Format:
    """How a format writes several results.

    Attributes:
        result: Writes one result; nothing of another is needed for it.
        end: Writes what follows the last one.
    """

    result: Callable[[Report | Failure, Style], str]
    end: Callable[[Summary, Style], str]


def _full(result: Report | Failure, style: Style) -> str:
    """A line for a model without findings and for a failure; else the whole report, set off by blank lines."""
    page = Page(style)
    if isinstance(result, Failure):
        page.line(Text.assemble(("failed", "bold red"), f" {printable(result.sentence)}"))
        return page.text()
    if result.findings or result.unanalysed:
        return f"\n{full.render(result, style)}\n"
    page.line(Text.assemble((printable(result.target), "bold"), ": ", full.verdict(result)))
    return page.text()


def _full_end(summary: Summary, style: Style) -> str:
    page = Page(style)
    page.blank()
    page.line(Text(sentence(summary), style="bold"))
    return page.text()


def _concise(result: Report | Failure, style: Style) -> str:
    if isinstance(result, Report):
        return concise.render(result, style)
    return concise.not_analysed(result.target, result.sentence)


def _nothing(_summary: Summary, _style: Style) -> str:
    return ""


def _line(record: Report | Failure | Summary, _style: Style) -> str:
    return json.render_line(record)


def sentence(summary: Summary) -> str:
    """The numbers as a person reads them: `12 models: 2 with errors, 1 could not be analysed, 9 without findings`.

    Args:
        summary: The numbers.
    """
    parts = ", ".join(_parts(summary))
    skipped = f" · {counted(summary.skipped, 'other file')} skipped" if summary.skipped else ""
    return f"{counted(summary.targets, 'model')}{': ' if parts else ''}{parts}{skipped}"


def _parts(summary: Summary) -> Iterator[str]:
    for number, words in (
        (summary.errors, "with errors"),
        (summary.warnings, "with warnings"),
        (summary.infos, "with infos only"),
        (summary.failed, "could not be analysed"),
        (summary.without_findings, "without findings"),
    ):
        if number:
            yield f"{number} {words}"


FORMATS: Final[Mapping[str, Format]] = {
    "full": Format(_full, _full_end),
    "concise": Format(_concise, _nothing),
    "json": Format(_line, _line),
}
"""The formats by the name that `--format` takes."""
