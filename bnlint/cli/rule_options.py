"""The options on rules: which run, how much they matter, their options, and where settings come from."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from bnlint.cli.options import Command, split_commas
from bnlint.errors import UsageError


def _split_severities(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    severities: dict[str, str] = {}
    for value in values:
        rule, equals, level = value.partition("=")
        if not (rule and equals and level):
            raise UsageError(f"--severity {value} names no rule and level.", "Write it as --severity BN201=warning.")
        severities[rule.strip()] = level.strip()
    return severities


def _split_options(
    _ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, dict[str, int | float]]:
    options: dict[str, dict[str, int | float]] = {}
    for value in values:
        place, equals, number = value.partition("=")
        rule, dot, name = place.partition(".")
        if not (rule and dot and name and equals):
            raise UsageError(
                f"--option {value} names no option and number.", "Write it as --option BN301.minimum_values=100."
            )
        options.setdefault(rule.strip(), {})[name.strip()] = _number(number.strip(), value)
    return options


def _number(text: str, value: str) -> int | float:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    raise UsageError(f'--option {value}: "{text}" is not a number.')


rules_option = click.option(
    "--rules",
    "folders",
    multiple=True,
    metavar="DIR",
    type=Path,
    help="A folder with more rule files; may be given several times.",
)

select_option = click.option(
    "--select",
    multiple=True,
    metavar="RULES",
    callback=split_commas,
    help="Only these rules: codes, names or beginnings of codes, such as BN5,BN101.",
)

ignore_option = click.option(
    "--ignore", multiple=True, metavar="RULES", callback=split_commas, help="Not these rules, likewise."
)

require_option = click.option(
    "--require",
    multiple=True,
    metavar="RULES",
    callback=split_commas,
    help="Rules that have to be decided, likewise: where one cannot be, the exit code is 3.",
)

profile_option = click.option(
    "--profile", metavar="NAME", help="Settings to start from: deploy or strict; see `bnlint rules --profile NAME`."
)

severity_option = click.option(
    "--severity",
    multiple=True,
    metavar="RULE=LEVEL",
    callback=_split_severities,
    help="Another severity, as BN201=warning or BN2=info; may be given several times.",
)

rule_options_option = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="RULE.NAME=NUMBER",
    callback=_split_options,
    help="Another number for an option of a rule, as BN301.minimum_values=100; may be given several times.",
)

config_option = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    help="The configuration file; without it, bnlint.yaml or pyproject.toml from the current folder upwards.",
)

no_config_option = click.option("--no-config", is_flag=True, help="Look for no configuration file.")


def settings_options(command: Command) -> Command:
    """The options that say where settings come from and with which further rules."""
    for decorate in (rules_option, no_config_option, config_option, profile_option):
        command = decorate(command)
    return command


def judging_options(command: Command) -> Command:
    """The options on which rules run and how much they matter."""
    for decorate in (rule_options_option, severity_option, require_option, ignore_option, select_option):
        command = decorate(command)
    return command
