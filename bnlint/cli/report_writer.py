"""Writes the report of `bnlint check` to stdout, of one target and of many."""

from __future__ import annotations

import sys

from bnlint import __version__
from bnlint.cli.streams import complain, write
from bnlint.report import Report
from bnlint.reporters.page.style import Style
from bnlint.reporters.report.format import sentence
from bnlint.reporters.report.formats import load_format
from bnlint.summary import Failure, Summary


class ReportWriter:
    """Writes results as they come, and adds them up.

    Nothing is written before the first: where a check cannot begin, stdout stays empty.

    Args:
        name: Name of the format.
        several: Whether several targets may be checked, or one.

    Attributes:
        summary: What has been written and skipped so far, in numbers.
    """

    def __init__(self, name: str, *, several: bool) -> None:
        form = load_format(name)
        self._format = form if several else form.for_one()
        self._several = several
        self._style = Style.of_stream(sys.stdout)
        self.summary = Summary(version=__version__)

    def add(self, result: Report | Failure) -> None:
        """Write one result.

        Args:
            result: The report of a target, or why there is none.
        """
        before = self._format.between if self.summary.targets else self._format.begin(self._style)
        self.summary = self.summary.with_result(result)
        write(before + self._format.result(result, self._style))

    def skip(self) -> None:
        """Count a file that is no model."""
        self.summary = self.summary.with_skipped()

    def end(self) -> int:
        """Write what follows the last result.

        Returns:
            The exit code.
        """
        write(self._format.end(self.summary, self._style))
        if self._several and not self._format.sums_up:
            complain(f"bnlint: {sentence(self.summary)}")
        return self.summary.exit_code
