"""`bnlint explain`: everything about one rule."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bnlint.cli.configuration import configuration
from bnlint.cli.help import HelpfulCommand
from bnlint.cli.options import debug_option
from bnlint.cli.rule_options import settings_options
from bnlint.cli.streams import write


@click.command(cls=HelpfulCommand, short_help="Explain one rule, with examples.")
@click.argument("rule", metavar="CODE_OR_NAME")
@settings_options
@debug_option
def explain(
    *, rule: str, folders: tuple[Path, ...], profile: str | None, config_file: str | None, no_config: bool
) -> None:
    """Explain one rule: what it finds, why that matters, what to do, and examples.

    Severity and options are those after the profile and the configuration file.
    """
    from bnlint.reporters.rule_pages import render_rule
    from bnlint.reporters.style import Style
    from bnlint.resolve import resolve
    from bnlint.ruleset import find_rule

    resolved = resolve({}, profile=profile, config=configuration(config_file, no_config), folders=folders)
    write(render_rule(find_rule(resolved.rules.rules, rule), Style.of_stream(sys.stdout)))
