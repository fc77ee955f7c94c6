"""Reads severities and options of rules from the command line."""

from __future__ import annotations

import contextlib

import click

from bnlint.errors import UsageError


def split_severities(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Severities by rule, from texts such as `BN201=warning`."""
    severities: dict[str, str] = {}
    for value in values:
        rule, equals, level = value.partition("=")
        if not (rule and equals and level):
            raise UsageError(f"--severity {value} names no rule and level.", "Write it as --severity BN201=warning.")
        severities[rule.strip()] = level.strip()
    return severities


def split_numbers(
    _ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, dict[str, int | float]]:
    """Options of rules, from texts such as `BN301.minimum_values=100`."""
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
