"""What `bnlint check` does for several models: results are written as they come, and one sum at the end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from bnlint.artifacts.targets import find_targets
from bnlint.batch.examine import Skipped
from bnlint.batch.files import examine_targets
from bnlint.cli.progress import count_bar
from bnlint.cli.report_writer import ReportWriter
from bnlint.errors import NotAnalysedError


def check_many(
    names: tuple[str, ...],
    arguments: Mapping[str, Any],
    *,
    format_: str,
    jobs: int,
    file_timeout: float,
    debug: bool,
) -> int:
    """Check all models that names stand for, and write what is found.

    Args:
        names: Files, folders, patterns or import strings.
        arguments: Arguments of `bnlint.check`.
        format_: Name of the format.
        jobs: How many processes work at once.
        file_timeout: Seconds that one model may take.
        debug: Whether the tracebacks of failures go to stderr.

    Returns:
        The exit code.

    Raises:
        UsageError: For an argument that is wrong for all models, or a pattern that matches nothing.
        NotAnalysedError: There is no model.
    """
    targets = find_targets(names)
    writer = ReportWriter(format_, several=True)
    results = examine_targets(targets, arguments, jobs=jobs, file_timeout=file_timeout, debug=debug)
    # An interrupt between two results ends the workers too.
    with closing(results), count_bar(len(targets)) as bar:
        for result in results:
            if isinstance(result, Skipped):
                writer.skip()
            else:
                with bar.hidden():
                    writer.add(result)
            bar.count(result.target)
    if not writer.summary.targets:
        where = ", ".join(f"`{name}`" for name in names)
        raise NotAnalysedError(f"There is no model in {where}: {writer.summary.skipped} other files were looked at.")
    return writer.end()
