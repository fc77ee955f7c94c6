"""The arguments of a check that hold for many models, looked at before the first of them is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypedDict

from bnlint.config import ConfigFile, read_config
from bnlint.errors import UsageError
from bnlint.facts.setup import TrainingSetup
from bnlint.looking.look import check_data
from bnlint.report import Context, Severity
from bnlint.resolve import given_settings, require_some_rule, resolve, several

_SETTINGS: Final = ("context", "fail_on", "select", "ignore", "require", "severity", "options")
_SETUP: Final = ("batch_size", "devices", "accumulate", "dataset_size", "drop_last")


class Arguments(TypedDict, total=False):
    """What `bnlint.check_files` takes besides paths; each as for `bnlint.check`."""

    inputs: object
    trust: bool
    allow: str | Iterable[str]
    key: str
    context: Context | str | None
    batch_size: int | None
    devices: int | None
    accumulate: int | None
    dataset_size: int | None
    drop_last: bool | None
    deploy_dtype: str | None
    run: bool | None
    padding: str | Iterable[str]
    data: object
    data_batches: int | None
    select: str | Iterable[str]
    ignore: str | Iterable[str]
    require: str | Iterable[str]
    severity: Mapping[str, Severity | str] | None
    options: Mapping[str, Mapping[str, int | float]] | None
    profile: str | None
    config: ConfigFile | str | os.PathLike[str] | None
    rules: Iterable[str | os.PathLike[str]]
    fail_on: Severity | str | None
    timeout: float | None


def checked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with the configuration file read, once it is clear that nothing is wrong with them.

    Args:
        arguments: Some of `Arguments`.

    Raises:
        UsageError: For an argument that is unknown, or wrong for every model.
    """
    for name in arguments.keys() - Arguments.__annotations__.keys():
        raise UsageError(
            f"`{name}` does not apply to many models.", f"There are {', '.join(Arguments.__annotations__)}."
        )
    known = dict(arguments)
    config = known.get("config")
    if config is not None and not isinstance(config, ConfigFile):
        known["config"] = config = read_config(config)
    setup = TrainingSetup(**{name: known.get(name) for name in _SETUP})
    resolved = resolve(
        given_settings(**{name: known[name] for name in _SETTINGS if name in known}),
        profile=known.get("profile"),
        config=config,
        folders=[Path(folder) for folder in known.get("rules", ())],
        setup=setup,
    )
    require_some_rule(resolved)
    check_data(known.get("data"), known.get("data_batches"))
    # Only these two need torch, which this process otherwise never imports.
    if known.get("inputs") is not None:
        from bnlint.tracing.inputs import as_inputs

        as_inputs(known["inputs"])
    if known.get("padding"):
        from bnlint.running.padding import as_padding

        for item in several(known["padding"]):
            as_padding(item)
    return known
