"""`bnlint explain`: everything about one rule."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bnlint.cli.options import debug_option, rules_option
from bnlint.cli.streams import write


@click.command(short_help="Explain one rule, with examples.")
@click.argument("rule", metavar="CODE_OR_NAME")
@rules_option
@debug_option
def explain(*, rule: str, folders: tuple[Path, ...]) -> None:
    """Explain one rule: what it finds, why that matters, what to do, and examples."""
    from bnlint.reporters.rule_pages import render_rule
    from bnlint.reporters.style import Style
    from bnlint.ruleset import find_rule, load_rules

    write(render_rule(find_rule(load_rules(folders), rule), Style.of_stream(sys.stdout)))
