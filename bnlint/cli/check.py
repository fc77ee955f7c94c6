"""`bnlint check`: the report on a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnlint.cli.configuration import configuration
from bnlint.cli.options import SECONDS, asks_for_traceback, debug_option, targets_options
from bnlint.cli.progress import progress_bar
from bnlint.cli.rule_options import judging_options, settings_options
from bnlint.cli.streams import complain, stdout_is_for_the_report, write
from bnlint.errors import UsageError
from bnlint.reporters import FORMATS

if TYPE_CHECKING:
    from bnlint.report import Report


@click.command(short_help="Check a model, and say what is wrong with it.")
@targets_options
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many models to look at at once, each in a process of its own.",
)
@click.option(
    "--file-timeout",
    type=SECONDS,
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="The longest that one of several models may take.",
)
@click.option(
    "--context",
    type=click.Choice(("inference", "training")),
    help="What the model is about to do; by default inference.",
)
@judging_options
@settings_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(tuple(FORMATS)),
    default="full",
    show_default=True,
    help="full for people, concise for grep, json for programs.",
)
@click.option(
    "--fail-on",
    type=click.Choice(("error", "warning", "info", "never")),
    help="The least severity that makes the exit code 1; by default warning.",
)
@debug_option
def check(
    *,
    targets: tuple[str, ...],
    jobs: int,
    file_timeout: float,
    inputs: tuple[str, ...],
    folders: tuple[Path, ...],
    config_file: str | None,
    no_config: bool,
    format_: str,
    **arguments: Any,
) -> int:
    """Check the normalisation layers of each TARGET.

    TARGET is a file (a state_dict, safetensors, or a whole saved model), a folder, in which models are looked for, a
    pattern such as 'runs/**/*.pt', or the import string package.module:name of a model, a model class, or a function
    that makes one.

    \b
      bnlint check model.safetensors
      bnlint check models/ 'runs/*.pt' --jobs 4 --format concise
      bnlint check training.ckpt --key ema
    """  # noqa: D301 - click needs the character itself
    arguments |= {"inputs": inputs or None, "rules": folders, "config": configuration(config_file, no_config)}
    from bnlint.artifacts.targets import is_one_target

    if is_one_target(targets):
        return _check_one(targets[0], arguments, format_)
    for name in ("weights", "kwargs"):
        if arguments.pop(name) is not None:
            raise UsageError(f"`--{name}` belongs to one model, and several are named.", "Check them one by one.")
    from bnlint.cli.check_many import check_many

    debug = asks_for_traceback(click.get_current_context())
    return check_many(targets, arguments, format_=format_, jobs=jobs, file_timeout=file_timeout, debug=debug)


def _check_one(target: str, arguments: dict[str, Any], format_: str) -> int:
    from bnlint.artifacts import ahead

    with progress_bar() as progress, stdout_is_for_the_report():
        if not arguments["trust"] and not arguments["allow"]:
            ahead.begin(target)
        from bnlint import linter

        report: Report = linter.check(target, progress=progress, **arguments)
    from bnlint.reporters.style import Style

    write(FORMATS[format_](report, Style.of_stream(sys.stdout)))
    for sentence in report.unanalysed:
        complain(f"bnlint: {sentence}")
    return report.exit_code
