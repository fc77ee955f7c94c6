"""What becomes of an exception: a sentence on stderr and an exit code."""

from __future__ import annotations

from typing import IO, Any, Final

import click

from bnlint.cli.signals import Terminated
from bnlint.cli.streams import complain
from bnlint.errors import BnlintError, InternalError, described
from bnlint.memory import shortage

WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130


class CommandError(click.ClickException):
    """The end of a command that did not do what was asked.

    Args:
        text: What stderr says.
        status: Exit status of the process.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click passes none
        """Write the text to stderr, without click's own heading."""
        complain(self.message)


def as_command_error(error: BaseException, *, debug: bool) -> CommandError:
    """How a command ends for an exception.

    Args:
        error: What was raised; `SystemExit` too, which the code of a model may raise.
        debug: Whether the user asked for the traceback.
    """
    trace = _traceback(error) if debug else ""
    if isinstance(error, Terminated):
        return CommandError(f"bnlint: ended by {error}", error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return CommandError(f"{trace}bnlint: interrupted", INTERRUPTED)
    error = shortage(error) or error
    if isinstance(error, BnlintError):
        return CommandError(f"{trace}bnlint: {error}", error.exit_code)
    advice = "please report it" if debug else "run again with --debug and report it"
    return CommandError(f"{trace}bnlint itself failed: {described(error)}; {advice}", WRONG_USAGE)


def _traceback(error: BaseException) -> str:
    if isinstance(error, (BnlintError, InternalError)) and error.trace:
        return error.trace
    import traceback  # only a failure needs it, and start-up time counts

    return "".join(traceback.format_exception(error))
