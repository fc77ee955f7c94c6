"""`bnlint check`: the report on a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnlint.cli.options import debug_option, ignore_option, rules_option, select_option, target_options
from bnlint.cli.progress import progress_bar
from bnlint.cli.streams import complain, stdout_is_for_the_report, write
from bnlint.reporters import FORMATS

if TYPE_CHECKING:
    from bnlint.report import Report


@click.command(short_help="Check a model, and say what is wrong with it.")
@target_options
@click.option(
    "--context",
    type=click.Choice(("inference", "training")),
    default="inference",
    show_default=True,
    help="What the model is about to do.",
)
@select_option
@ignore_option
@rules_option
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
    default="warning",
    show_default=True,
    help="The least severity that makes the exit code 1.",
)
@debug_option
def check(
    *, target: str, inputs: tuple[str, ...], folders: tuple[Path, ...], format_: str, fail_on: str, **options: Any
) -> int:
    """Check the normalisation layers of TARGET.

    TARGET is a file (a state_dict, safetensors, or a whole saved model with --trust) or the import string
    package.module:name of a model, a model class, or a function that makes one.
    """
    with progress_bar() as progress, stdout_is_for_the_report():
        from bnlint import linter

        report: Report = linter.check(
            target,
            inputs=inputs or None,
            rules=folders,
            fail_on=None if fail_on == "never" else fail_on,
            progress=progress,
            **options,
        )
    from bnlint.reporters.style import Style

    write(FORMATS[format_](report, Style.of_stream(sys.stdout)))
    for sentence in report.unanalysed:
        complain(f"bnlint: {sentence}")
    return report.exit_code
