"""The command line: `bnlint` and its commands."""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
from typing import Any, NoReturn

import click

from bnlint.cli.check import check
from bnlint.cli.explain import explain
from bnlint.cli.facts import facts
from bnlint.cli.failures import INTERRUPTED, WRONG_USAGE, CommandError, as_command_error
from bnlint.cli.fold import fold
from bnlint.cli.help import HelpfulCommand, show_version
from bnlint.cli.inspect import inspect
from bnlint.cli.options import asks_for_traceback
from bnlint.cli.rules import rules
from bnlint.cli.signals import Terminated, ended_by_signals
from bnlint.cli.streams import complain, stand_in_for_closed_streams, write
from bnlint.cli.verify import verify
from bnlint.errors import BnlintError
from bnlint.memory import COLLECT_AFTER, watch_imports


class _Commands(HelpfulCommand, click.Group):
    """Offers the nearest command to a misspelt one, and turns every exception into an exit code and a sentence."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in self.commands or name.startswith("-"):
            return super().resolve_command(ctx, args)
        import difflib  # only a mistake needs it

        close = difflib.get_close_matches(name, self.commands, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(self.commands)}."
        raise click.UsageError(f"No such command {name!r}. {hint}", ctx)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except BaseException as error:
            raise as_command_error(error, debug=asks_for_traceback(ctx)) from error


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """The linter for normalisation layers in PyTorch models.

    It finds a forgotten eval(), BatchNorm after an activation, batches too small for BatchNorm, BatchNorm where a
    sequence model wants LayerNorm, dead running statistics, and more.

    \b
      bnlint check model.safetensors
      bnlint check model.pt --allow timm
      bnlint check torchvision.models:resnet18 --weights r18.pth --input 1x3x224x224

    Exit codes: 0 clean, 1 findings, 2 wrong usage or an internal error, 3 something could not be analysed,
    130 interrupted, 143 and the like ended by a signal.
    """  # noqa: D301 - click needs the character itself
    if ctx.invoked_subcommand is None:
        write(f"{ctx.get_help()}\n")


for command in (check, inspect, fold, verify, rules, explain, facts):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    gc.set_threshold(COLLECT_AFTER)
    # A process that ends needs no search for cycles among all that it holds: that was a sixth of a check.
    atexit.register(gc.freeze)
    watch_imports()
    stand_in_for_closed_streams()
    with ended_by_signals() as ending:
        code = _run()
    sys.exit(code if ending.by is None else ending.by.exit_code)


def _run() -> int:
    """Run the command line; the exit code."""
    try:
        return cli.main(prog_name="bnlint", standalone_mode=False) or 0
    except (click.Abort, KeyboardInterrupt):
        complain("bnlint: interrupted")
        return INTERRUPTED
    except (BnlintError, Terminated, CommandError) as error:
        ended = error if isinstance(error, CommandError) else as_command_error(error, debug=False)
        ended.show()
        return ended.status
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        return WRONG_USAGE
