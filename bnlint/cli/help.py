"""Commands whose help is written as reports are: a full disk or a closed pipe means the same for both."""

from __future__ import annotations

import click

from bnlint import __version__
from bnlint.cli.streams import write


class HelpfulCommand(click.Command):
    """A command that writes its help by `write`."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The option `--help`."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


def show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    """Write the version, where the option asks for it, and end."""
    if value and not ctx.resilient_parsing:
        write(f"bnlint {__version__}\n")
        ctx.exit()


def _show_help(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        write(f"{ctx.get_help()}\n")
        ctx.exit()
