"""The options that several commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bnlint.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def _ask_for_traceback(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta["bnlint.debug"] = True


def asks_for_traceback(ctx: click.Context) -> bool:
    """Whether `--debug` was given."""
    return "bnlint.debug" in ctx.meta


def _split_commas(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _read_mapping(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """The arguments of a factory, from YAML such as `{pretrained: false, num_classes: 10}`."""
    if value is None:
        return None
    import yaml

    try:
        mapping = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--kwargs is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(mapping, dict) or not all(isinstance(key, str) for key in mapping):
        raise UsageError("--kwargs is no mapping of names to values.", "Write it as '{num_classes: 10}'.")
    return mapping


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


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_ask_for_traceback,
    help="Show the traceback of a failure.",
)

rules_option = click.option(
    "--rules",
    "folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder with more rule files; may be given several times.",
)

select_option = click.option(
    "--select",
    multiple=True,
    metavar="RULES",
    callback=_split_commas,
    help="Only these rules: codes, names or beginnings of codes, such as BN5,BN101.",
)

ignore_option = click.option(
    "--ignore", multiple=True, metavar="RULES", callback=_split_commas, help="Not these rules, likewise."
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


kwargs_option = click.option(
    "--kwargs",
    metavar="YAML",
    callback=_read_mapping,
    help="Arguments of the factory, as '{num_classes: 10}'.",
)

input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SPEC",
    help="An input to trace with: 1x3x224x224, 1x77:int64 or input_ids=1x128:int64; once for each input.",
)

trust_option = click.option(
    "--trust", is_flag=True, help="Unpickle a whole model, which runs code that the file names."
)

allow_option = click.option(
    "--allow",
    multiple=True,
    metavar="PACKAGE",
    callback=_split_commas,
    help="Import this package for the classes of a saved model, as timm; may be given several times.",
)

key_option = click.option(
    "--key",
    default="",
    metavar="NAME",
    help="Which of several models or sets of weights in a file, as ema.",
)

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="The longest that tracing may take.",
)


def model_options(command: Command) -> Command:
    """The argument TARGET and the options on how to read and trace it."""
    return click.argument("target")(reading_options(command))


def reading_options(command: Command) -> Command:
    """The options on how to read and trace a target."""
    for decorate in reversed(
        (
            click.option("--weights", metavar="FILE", help="Weights to load into the model that TARGET names."),
            key_option,
            kwargs_option,
            input_option,
            allow_option,
            trust_option,
            timeout_option,
        )
    ):
        command = decorate(command)
    return command


def setup_options(command: Command) -> Command:
    """The options that declare how the model is trained, and in which data type it is deployed."""
    for decorate in reversed(
        (
            click.option(
                "--batch-size",
                type=click.IntRange(min=1),
                metavar="N",
                help="The training batch on each device, for the rules on tiny batches.",
            ),
            click.option(
                "--devices", type=click.IntRange(min=1), metavar="N", help="How many devices train together; one."
            ),
            click.option(
                "--accumulate",
                type=click.IntRange(min=1),
                metavar="N",
                help="How many batches make one step of the optimiser; one.",
            ),
            click.option(
                "--dataset-size",
                type=click.IntRange(min=1),
                metavar="N",
                help="The samples in one epoch, for the rule on a short last batch.",
            ),
            click.option("--drop-last", is_flag=True, default=None, help="A short last batch is left out."),
            click.option(
                "--dtype",
                "deploy_dtype",
                type=click.Choice(("float16", "bfloat16")),
                help="The data type of deployment, for the rule on its range.",
            ),
        )
    ):
        command = decorate(command)
    return command


def run_options(command: Command) -> Command:
    """The options that allow a copy of the model to be run."""
    for decorate in reversed(
        (
            click.option("--run", is_flag=True, help="Run a copy of the model, in both modes."),
            click.option(
                "--padding",
                multiple=True,
                metavar="SPEC",
                help="How an input is padded: 1 (the axis) or input_ids=1:0; once for each input. Runs a copy.",
            ),
            click.option(
                "--data",
                metavar="FILE",
                help="Real inputs to compare running statistics with: .pt, .npz, .npy or .safetensors. Runs a copy.",
            ),
            click.option(
                "--data-batches",
                type=click.IntRange(min=1),
                default=16,
                show_default=True,
                metavar="N",
                help="How many batches of 32 samples to look at.",
            ),
        )
    ):
        command = decorate(command)
    return command


def target_options(command: Command) -> Command:
    """The argument TARGET and the options on how to read, trace, run and look at it."""
    return model_options(setup_options(run_options(command)))


def targets_options(command: Command) -> Command:
    """The same for one TARGET or more."""
    several = click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
    return several(reading_options(setup_options(run_options(command))))
