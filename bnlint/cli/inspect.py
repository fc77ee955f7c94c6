"""`bnlint inspect`: the fact table of a model."""

from __future__ import annotations

import sys
from typing import Any

import click

from bnlint.cli.call import call_linter
from bnlint.cli.help import HelpfulCommand
from bnlint.cli.options import debug_option, target_options
from bnlint.cli.progress import progress_bar
from bnlint.cli.streams import write
from bnlint.reporters.facts.formats import FORMATS, LISTING, load_renderer


@click.command(cls=HelpfulCommand, short_help="Show the facts about a model that the rules read.")
@target_options
@click.option("--all", "everything", is_flag=True, help="Every fact of every call, nothing grouped.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(tuple(FORMATS)),
    default=next(iter(FORMATS)),
    show_default=True,
    help="table for people; json and csv hold every fact of every call.",
)
@debug_option
def inspect(*, target: str, everything: bool, format_: str, **options: Any) -> None:
    """Show the facts about the normalisation layers of TARGET.

    TARGET is what `bnlint check` takes. Layers with facts that are not ordinary come first, then what the layers share
    and in what they differ; `bnlint facts` says what each fact means.
    """
    with progress_bar() as progress:
        table = call_linter("inspect", target, options, progress)

    from bnlint.reporters.page.style import Style

    render = load_renderer(LISTING if everything and format_ == "table" else FORMATS[format_])
    write(render(table, Style.of_stream(sys.stdout)))
