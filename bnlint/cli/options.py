"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bnlint.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def _ask_for_traceback(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta["bnlint.debug"] = True


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

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="The longest that tracing may take.",
)


def model_options(command: Command) -> Command:
    """The argument TARGET and the options on how to read and trace it."""
    for decorate in reversed(
        (
            click.argument("target"),
            click.option("--weights", metavar="FILE", help="Weights to load into the model that TARGET names."),
            kwargs_option,
            input_option,
            trust_option,
            timeout_option,
        )
    ):
        command = decorate(command)
    return command


def target_options(command: Command) -> Command:
    """The argument TARGET and the options on how to read, trace and look at it."""
    return model_options(
        click.option(
            "--batch-size",
            type=click.IntRange(min=1),
            metavar="N",
            help="The training batch on each device, for the rules on tiny batches.",
        )(command)
    )
