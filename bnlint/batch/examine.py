"""What is done for each of many targets, in the process that answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnlint.artifacts.targets import Target, is_no_model
from bnlint.errors import NoModelError
from bnlint.report import Report
from bnlint.summary import Failure

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Skipped:
    """A file in a folder that is no model.

    Attributes:
        target: Its name.
    """

    target: str


Result = Report | Failure | Skipped


def examine(target: Target, *, progress: Callable[[str], None] | None = None, **arguments: Any) -> Report | Skipped:
    """Check one of many targets.

    Args:
        target: What to check.
        progress: Is told which stage begins.
        **arguments: Those of `bnlint.check`.

    Returns:
        Its report; nothing of a file that was found in a folder and is no model.

    Raises:
        BnlintError: As for `bnlint.check`.
    """
    if is_no_model(target):
        return Skipped(target.name)
    from bnlint import linter

    try:
        return linter.check(target.name, progress=progress, **arguments)
    except NoModelError:
        if target.found:
            return Skipped(target.name)
        raise
