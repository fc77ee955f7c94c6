"""`bnlint rules`: the list of rules."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bnlint.cli.configuration import configuration
from bnlint.cli.help import HelpfulCommand
from bnlint.cli.options import debug_option
from bnlint.cli.rule_options import settings_options
from bnlint.cli.streams import write


@click.command(cls=HelpfulCommand, short_help="List the rules.")
@settings_options
@debug_option
def rules(*, folders: tuple[Path, ...], profile: str | None, config_file: str | None, no_config: bool) -> None:
    """List the rules: code, severity, name, what each finds and what it needs.

    Severities are those after the profile and the configuration file; a rule that does not run is off.
    """
    from bnlint.reporters.rule_pages import render_list
    from bnlint.reporters.style import Style
    from bnlint.resolve import resolve

    resolved = resolve({}, profile=profile, config=configuration(config_file, no_config), folders=folders)
    write(render_list(resolved.rules, Style.of_stream(sys.stdout)))
