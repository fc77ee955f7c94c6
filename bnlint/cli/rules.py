"""`bnlint rules`: the list of rules."""

from __future__ import annotations

import sys
from typing import Any

import click

from bnlint.checking.options import CheckOptions
from bnlint.cli.configuration import configuration, no_config_option
from bnlint.cli.help import HelpfulCommand
from bnlint.cli.options import debug_option, settings_options
from bnlint.cli.streams import write


@click.command(cls=HelpfulCommand, short_help="List the rules.")
@settings_options
@no_config_option
@debug_option
def rules(*, config: str | None, no_config: bool, **settings: Any) -> None:
    """List the rules: code, severity, name, what each finds and what it needs.

    Severities are those after the profile and the configuration file; a rule that does not run is off.
    """
    from bnlint.reporters.page.style import Style
    from bnlint.reporters.rule_pages import render_list
    from bnlint.resolve import resolve

    resolved = resolve(CheckOptions(config=configuration(config, no_config), **settings))
    write(render_list(resolved.rules, Style.of_stream(sys.stdout)))
