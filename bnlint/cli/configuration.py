"""Which configuration file a command reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bnlint.errors import UsageError

if TYPE_CHECKING:
    from bnlint.config import ConfigFile


no_config_option = click.option("--no-config", is_flag=True, help="Look for no configuration file.")


def configuration(config_file: str | None, no_config: bool) -> ConfigFile | None:
    """The configuration file that the user names, else the nearest one from the current folder upwards.

    Args:
        config_file: What `--config` names.
        no_config: Whether `--no-config` is given.

    Raises:
        UsageError: If both are given, or the file cannot be used.
    """
    if no_config and config_file is not None:
        raise UsageError("--config and --no-config contradict each other.", "Give one of them.")
    if no_config:
        return None
    from bnlint.config import find_config, read_config

    file = find_config(_current_folder()) if config_file is None else config_file
    return None if file is None else read_config(file)


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError("The current folder is not there any more.", "Change to one that is.") from error
