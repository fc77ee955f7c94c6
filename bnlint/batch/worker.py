"""The process that checks one model after another for `check_files`."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from dataclasses import dataclass
from typing import Any, BinaryIO

from bnlint import __version__
from bnlint.artifacts.targets import Target, is_no_model
from bnlint.errors import BnlintError, NoModelError
from bnlint.memory import shortage, watch_imports
from bnlint.report import Report
from bnlint.summary import Failure


@dataclass(frozen=True)
class Orders:
    """What holds for all models that a worker checks.

    Attributes:
        arguments: Arguments of `bnlint.check`.
        debug: Whether the traceback of a failure goes to stderr.
    """

    arguments: dict[str, Any]
    debug: bool


@dataclass(frozen=True)
class Skipped:
    """A file in a folder that is no model.

    Attributes:
        target: Its name.
    """

    target: str


Result = Report | Failure | Skipped


def main() -> None:
    """Answer orders on stdin, as pickles, with results on stdout, until stdin ends.

    What the code of a model prints goes to stderr, and it finds nothing on stdin.
    """
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    watch_imports()
    try:
        serve(questions, answers)
    except (EOFError, BrokenPipeError):
        return


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Check what is asked for.

    Args:
        questions: `Orders`, then one `Target` after another.
        answers: Gets the `Result` of each.

    Raises:
        EOFError: There is no further question.
    """
    orders: Orders = pickle.load(questions)
    while True:
        result = examine(pickle.load(questions), orders)
        answers.write(pickle.dumps(result))
        answers.flush()


def examine(target: Target, orders: Orders) -> Result:
    """Check one target; every way to fail becomes a `Failure`.

    Args:
        target: What to check.
        orders: How.
    """
    try:
        if is_no_model(target):
            return Skipped(target.name)
        from bnlint import linter

        return linter.check(target.name, **orders.arguments)
    except NoModelError as error:
        return Skipped(target.name) if target.found else _failure(target, error, orders)
    except (Exception, SystemExit) as error:
        return _failure(target, error, orders)


def _failure(target: Target, error: BaseException, orders: Orders) -> Failure:
    if orders.debug:
        traceback.print_exception(error, file=sys.stderr)
    error = shortage(error) or error
    if isinstance(error, BnlintError):
        return Failure.of(target.name, error)
    what = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ").removesuffix(".")
    return Failure(
        version=__version__,
        target=target.name,
        cause=f"bnlint itself failed on `{target.name}`: {what}.",
        hint="Check it alone with `--debug`, and report it.",
        exit_code=2,
    )
