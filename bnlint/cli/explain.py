"""`bnlint explain`: everything about one rule."""

from __future__ import annotations

import sys
from typing import Any

import click

from bnlint.checking.options import CheckOptions
from bnlint.cli.configuration import configuration, no_config_option
from bnlint.cli.help import HelpfulCommand
from bnlint.cli.options import debug_option, settings_options
from bnlint.cli.streams import write


@click.command(cls=HelpfulCommand, short_help="Explain one rule, with examples.")
@click.argument("rule", metavar="CODE_OR_NAME")
@settings_options
@no_config_option
@debug_option
def explain(*, rule: str, config: str | None, no_config: bool, **settings: Any) -> None:
    """Explain one rule: what it finds, why that matters, what to do, and examples.

    Severity and options are those after the profile and the configuration file.
    """
    from bnlint.reporters.page.style import Style
    from bnlint.reporters.rule_pages import render_rule
    from bnlint.resolve import resolve
    from bnlint.ruleset import find_rule

    resolved = resolve(CheckOptions(config=configuration(config, no_config), **settings))
    write(render_rule(find_rule(resolved.rules.rules, rule), Style.of_stream(sys.stdout)))
