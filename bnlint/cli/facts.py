"""`bnlint facts`: the vocabulary of rules."""

from __future__ import annotations

import sys

import click

from bnlint.cli.help import HelpfulCommand
from bnlint.cli.options import debug_option
from bnlint.cli.streams import write


@click.command(cls=HelpfulCommand, short_help="List the facts that rules can read.")
@debug_option
def facts() -> None:
    """List the facts that rules can read: what each means, and what must be given to know it."""
    from bnlint.reporters.facts.pages import render_vocabulary
    from bnlint.reporters.page.style import Style

    write(render_vocabulary(Style.of_stream(sys.stdout)))
