"""Calls the linter for one target: in a process of its own where code of models may run, else in this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import click

from bnlint.cli.options import asks_for_traceback
from bnlint.cli.streams import stdout_is_for_the_report


def call_linter(
    function: Literal["check", "inspect"],
    target: str,
    arguments: Mapping[str, Any],
    progress: Callable[[str], None],
    *,
    limit: float | None = None,
) -> Any:
    """Have the linter look at one target.

    Weights, programs and models of classes of `torch.nn` alone are data, whatever is in them: a process of its own
    would take a tenth of the time of the check of a state_dict, and more.

    Args:
        function: What to call.
        target: What to look at.
        arguments: Its other arguments.
        progress: Is told which stage begins.
        limit: Seconds that it may take; as long as it takes by default.

    Returns:
        What it returns.
    """
    if limit is not None or _runs_code(target, arguments):
        return in_its_own_process(
            f"bnlint.linter:{function}", {"target": target, **arguments}, target, progress, limit=limit
        )
    from bnlint.artifacts import ahead

    with stdout_is_for_the_report():
        ahead.begin(target)
        from bnlint import linter

        return getattr(linter, function)(target, progress=progress, **arguments)


def in_its_own_process(
    function: str,
    question: Mapping[str, Any],
    name: str,
    progress: Callable[[str], None],
    *,
    limit: float | None = None,
) -> Any:
    """Call a function where code of models may run.

    Args:
        function: The function, as `package.module:name`.
        question: Its arguments; it gets a `progress` beside them.
        name: What the user called the model.
        progress: Is told which stage begins.
        limit: Seconds that it may take; as long as it takes by default.

    Returns:
        What it returns.
    """
    from bnlint.batch import alone

    debug = asks_for_traceback(click.get_current_context())
    return alone.run_alone(function, question, name=name, progress=progress, limit=limit, debug=debug)


def _runs_code(target: str, arguments: Mapping[str, Any]) -> bool:
    if arguments["trust"] or arguments["allow"]:
        return True
    if ":" not in target:  # as in most names of files, which this need not be imported for
        return False
    from bnlint.artifacts.import_string import is_import_string

    return is_import_string(target)
