"""What a format of reports is, and what formats share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from bnlint.report import Report
from bnlint.reporters.page.style import Style, counted
from bnlint.summary import Failure, Summary


def nothing(*_: object) -> str:
    """What a format writes where it has nothing to write."""
    return ""


class Format(NamedTuple):
    """How a format writes a check: a beginning, each result as it comes, and an end. All functions are pure.

    Attributes:
        begin: Writes what precedes the first result; it is called once there is one.
        result: Writes one result; nothing of another is needed for it.
        end: Writes what follows the last one.
        between: What stands between two results, such as the comma of a list in JSON.
        alone: Writes the report of a check of one target, where that is not begin, result and end; a target without a
            report then leaves nothing to write, and stderr says why.
        sums_up: Whether `end` says how a check of several targets went altogether; if not, stderr does.
    """

    begin: Callable[[Style], str]
    result: Callable[[Report | Failure, Style], str]
    end: Callable[[Summary, Style], str]
    between: str = ""
    alone: Callable[[Report, Style], str] | None = None
    sums_up: bool = True

    def for_one(self) -> Format:
        """The format of a check of one target."""
        alone = self.alone
        if alone is None:
            return self

        def result(result: Report | Failure, style: Style) -> str:
            return alone(result, style) if isinstance(result, Report) else ""

        return Format(nothing, result, nothing)


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
