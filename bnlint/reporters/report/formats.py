"""The formats of reports, for one target and for many: the one place that lists them.

A new one is a file with a `FORMAT` in it, and a line in `FORMATS`. This module is imported with the command line:
neither rich nor a format is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from bnlint.reporters.report.format import Format


class Listed(NamedTuple):
    """A format in the list.

    Attributes:
        audience: Whom it is for, as `--help` says it.
        module: The module that has it as `FORMAT`; it is imported when the format is first used.
    """

    audience: str
    module: str


FORMATS: Final = {
    "full": Listed("people", "bnlint.reporters.report.full"),
    "concise": Listed("grep", "bnlint.reporters.report.concise"),
    "json": Listed("programs", "bnlint.reporters.report.json"),
}
"""The formats by the name that `--format` takes; the first is the usual one."""


def load_format(name: str) -> Format:
    """A format, from its module.

    Args:
        name: A key of `FORMATS`.
    """
    form: Format = importlib.import_module(FORMATS[name].module).FORMAT
    return form
