"""The options of a check that hold for many models, looked at before the first of them is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bnlint.checking.option import several
from bnlint.checking.options import files_options
from bnlint.config import ConfigFile, read_config
from bnlint.looking.look import check_data
from bnlint.resolve import require_some_rule, resolve


def checked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with the configuration file read, once it is clear that nothing is wrong with them.

    Args:
        arguments: Options by name.

    Raises:
        UsageError: For one that is unknown, or wrong for every model.
    """
    known = dict(arguments)
    config = known.get("config")
    if config is not None and not isinstance(config, ConfigFile):
        known["config"] = read_config(config)
    options = files_options(known)
    require_some_rule(resolve(options))
    check_data(options.data, options.data_batches)
    # Only these two need torch, which this process otherwise never imports.
    if options.inputs is not None:
        from bnlint.tracing.inputs import as_inputs

        as_inputs(options.inputs)
    if options.padding:
        from bnlint.running.padding import as_padding

        for item in several(options.padding):
            as_padding(item)
    return known
