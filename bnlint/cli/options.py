"""The options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from bnlint.checking.option import Form, Option, Options, Section
from bnlint.checking.options import CheckOptions
from bnlint.cli.rule_options import split_numbers, split_severities
from bnlint.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_LONGEST_WAIT: Final = 1e9
"""Seconds, some thirty years: timers take no more than a few times as many."""


def _ask_for_traceback(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta["bnlint.debug"] = True


def asks_for_traceback(ctx: click.Context) -> bool:
    """Whether `--debug` was given."""
    return "bnlint.debug" in ctx.meta


def split_commas(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """The words of an option that may be given several times, between commas or spaces."""
    return tuple(part for value in values for part in value.replace(",", " ").split())


def _not_empty(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """The key; an empty one, as of a variable that is not set, would choose another entry without a word."""
    if value == "":
        raise UsageError("--key is empty.", "Name an entry, or leave the option out for the usual one.")
    return value or ""


def _read_mapping(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """The arguments of a factory, from YAML such as `{pretrained: false, num_classes: 10}`."""
    if value is None:
        return None
    from bnlint.ruleset.yaml_source import parse_yaml  # few targets are called with arguments

    mapping = parse_yaml(value, "--kwargs", UsageError, for_settings=False).data if value.strip() else None
    names = list(mapping) if isinstance(mapping, dict) else [mapping]
    if any(isinstance(name, str) and ":" in name for name in names):  # `{num_classes:10}` is one name without a value
        raise UsageError(
            "--kwargs gives a name with a colon in it.",
            "YAML wants a space after the colon: write it as '{num_classes: 10}'.",
        )
    if not isinstance(mapping, dict) or not all(isinstance(key, str) for key in mapping):
        raise UsageError("--kwargs is no mapping of names to values.", "Write it as '{num_classes: 10}'.")
    return mapping


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_ask_for_traceback,
    help="Show the traceback of a failure.",
)


class _Seconds(click.FloatRange):
    """Seconds above zero; more than any clock counts are as many as one does."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value} is not a number.", param, ctx)
        return min(seconds, _LONGEST_WAIT)


SECONDS: Final = _Seconds()

_FORMS: Final[Mapping[Form, Mapping[str, Any]]] = {
    "count": {"type": click.IntRange(min=1), "metavar": "N"},
    "seconds": {"type": SECONDS, "metavar": "SECONDS"},
    "flag": {"is_flag": True},
    "choice": {},
    "text": {},
    "key": {"callback": _not_empty},
    "texts": {"multiple": True},
    "words": {"multiple": True, "callback": split_commas},
    "folders": {"multiple": True, "type": Path},
    "yaml": {"callback": _read_mapping},
    "severities": {"multiple": True, "callback": split_severities},
    "numbers": {"multiple": True, "callback": split_numbers},
}
"""What click is told of the forms in which options are written."""


def options_on(
    *sections: Section, without: Collection[str] = (), record: type[Options] = CheckOptions
) -> Callable[[Command], Command]:
    """The options of some sections of the record, in its order; they arrive under their names in the record.

    Args:
        *sections: The sections.
        without: Names of options to leave out.
        record: The record of options.
    """
    found = [one for one in record.entries.values() if one.section in sections and one.name not in without]

    def decorate(command: Command) -> Command:
        for one in reversed(found):
            if one.form is not None:
                command = _option(one, one.form)(command)
        return command

    return decorate


def _option(one: Option, form: Form) -> Callable[[Command], Command]:
    about: dict[str, Any] = {**_FORMS[form], "help": one.help or one.doc}
    if one.metavar:
        about["metavar"] = one.metavar
    if one.choices:
        about["type"] = click.Choice(one.choices)
    if form == "flag":
        about["default"] = one.default
    if form == "texts":
        about["callback"] = lambda _ctx, _parameter, values: values or one.default
    return click.option(one.flag, one.name, **about)


settings_options = options_on("settings")
"""Where settings come from, and with which further rules."""


def target_options(command: Command) -> Command:
    """The argument TARGET and the options on how to read, trace, run and look at it."""
    return click.argument("target")(options_on("reading", "training", "running")(command))
