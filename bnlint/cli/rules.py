"""`bnlint rules`: the list of rules."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bnlint.cli.options import debug_option, rules_option
from bnlint.cli.streams import write


@click.command(short_help="List the rules.")
@rules_option
@debug_option
def rules(*, folders: tuple[Path, ...]) -> None:
    """List the rules: code, severity, name and what each finds."""
    from bnlint.reporters.rule_pages import render_list
    from bnlint.reporters.style import Style
    from bnlint.ruleset import load_rules

    write(render_list(load_rules(folders), Style.of_stream(sys.stdout)))
