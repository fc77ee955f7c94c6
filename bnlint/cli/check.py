"""`bnlint check`: the report on a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bnlint.checking.options import CheckOptions, for_many
from bnlint.cli.call import call_linter
from bnlint.cli.configuration import configuration, no_config_option
from bnlint.cli.help import HelpfulCommand
from bnlint.cli.options import SECONDS, asks_for_traceback, debug_option, options_on
from bnlint.cli.progress import progress_bar
from bnlint.cli.streams import complain
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.reporters.report.formats import FORMATS

if TYPE_CHECKING:
    from bnlint.report import Report
    from bnlint.summary import Failure


@click.command(cls=HelpfulCommand, short_help="Check a model, and say what is wrong with it.")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@options_on("reading", "training", "running", "judging", "settings")
@no_config_option
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
    help="The longest that one of several models may take; for one alone there is no limit unless this is given.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(tuple(FORMATS)),
    default=next(iter(FORMATS)),
    show_default=True,
    help=", ".join(f"{name} for {listed.audience}" for name, listed in FORMATS.items()) + ".",
)
@debug_option
def check(
    *,
    targets: tuple[str, ...],
    config: str | None,
    no_config: bool,
    jobs: int,
    file_timeout: float,
    format_: str,
    **options: Any,
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
    options["config"] = configuration(config, no_config)
    from bnlint.artifacts.targets import is_one_target

    context = click.get_current_context()
    if is_one_target(targets):
        given = context.get_parameter_source("file_timeout") is not ParameterSource.DEFAULT
        return _check_one(targets[0], options, format_, file_timeout if given else None)
    for one in CheckOptions.entries.values():
        if not for_many(one) and options.pop(one.name, None) is not None:
            raise UsageError(f"`{one.flag}` belongs to one model, and several are named.", "Check them one by one.")
    from bnlint.cli.check_many import check_many

    debug = asks_for_traceback(context)
    return check_many(targets, options, format_=format_, jobs=jobs, file_timeout=file_timeout, debug=debug)


def _check_one(target: str, options: dict[str, Any], format_: str, limit: float | None) -> int:
    try:
        with progress_bar() as progress:
            report: Report = call_linter("check", target, options, progress, limit=limit)
    except Exception as error:
        from bnlint.memory import shortage
        from bnlint.summary import Failure

        told = shortage(error) or error
        if isinstance(told, NotAnalysedError):
            _write_one(Failure.of(target, told), format_)
        raise
    code = _write_one(report, format_)
    for sentence in report.unanalysed:
        complain(f"bnlint: {sentence}")
    return code


def _write_one(result: Report | Failure, format_: str) -> int:
    from bnlint.cli.report_writer import ReportWriter

    writer = ReportWriter(format_, several=False)
    writer.add(result)
    return writer.end()
