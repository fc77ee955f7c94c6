"""What `bnlint check` does for several models: results are written as they come, and one sum at the end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from bnlint import __version__
from bnlint.artifacts.targets import find_targets
from bnlint.batch.examine import Skipped
from bnlint.batch.files import examine_targets
from bnlint.cli.progress import count_bar
from bnlint.cli.streams import complain, write
from bnlint.errors import NotAnalysedError
from bnlint.reporters.several import FORMATS, sentence
from bnlint.reporters.style import Style
from bnlint.summary import Summary


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
    summary = Summary(version=__version__)
    style, form = Style.of_stream(sys.stdout), FORMATS[format_]
    results = examine_targets(targets, arguments, jobs=jobs, file_timeout=file_timeout, debug=debug)
    # An interrupt between two results ends the workers too.
    with closing(results), count_bar(len(targets)) as bar:
        for result in results:
            if isinstance(result, Skipped):
                summary = summary.with_skipped()
            else:
                summary = summary.with_result(result)
                with bar.hidden():
                    write(form.result(result, style))
            bar.count(result.target)
    if not summary.targets:
        where = ", ".join(f"`{name}`" for name in names)
        raise NotAnalysedError(f"There is no model in {where}: {summary.skipped} other files were looked at.")
    write(form.end(summary, style))
    if format_ == "concise":
        complain(f"bnlint: {sentence(summary)}")
    return summary.exit_code
