"""The options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

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
    "--trust", is_flag=True, help="Load a whole model or program as torch does, which runs code in the file."
)

allow_option = click.option(
    "--allow",
    multiple=True,
    metavar="PACKAGE",
    callback=split_commas,
    help="Import this package for the classes of a saved model, as timm; may be given several times.",
)

key_option = click.option(
    "--key",
    callback=_not_empty,
    metavar="NAME",
    help="Which of several models or sets of weights in a file, as ema.",
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

timeout_option = click.option(
    "--timeout",
    type=SECONDS,
    metavar="SECONDS",
    help="The longest that tracing may take.",
)


def model_options(command: Command) -> Command:
    """The argument TARGET and the options on how to read and trace it."""
    return click.argument("target")(reading_options(command))


def reading_options(command: Command) -> Command:
    """The options on how to read and trace a target."""
    weights = click.option("--weights", metavar="FILE", help="Weights to load into the model that TARGET names.")
    return weights(loading_options(command))


def loading_options(command: Command) -> Command:
    """Those of them that say how a model is made, loaded and traced."""
    for decorate in (timeout_option, trust_option, allow_option, input_option, kwargs_option, key_option):
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
                metavar="N",
                help="How many batches of 32 samples to look at; by default 16.",
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
