"""The packages that the user admits, and whose classes files may therefore name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Final

from bnlint.errors import UsageError

NEURAL_NETWORKS: Final = "torch.nn.modules"
"""Where the layers of `torch.nn` are defined: known code always."""

_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def admitted(allow: str | Iterable[str]) -> tuple[str, ...]:
    """Check what the user admits.

    Args:
        allow: A name of a package, or several, such as `timm` or `mine.models`.

    Returns:
        The names, each once.

    Raises:
        UsageError: One is no name of a package, or is one whose functions do more than models need: Python's own
            modules, and torch, of which `torch.nn` is known anyway.
    """
    names = tuple(dict.fromkeys((allow,) if isinstance(allow, str) else allow))
    for name in names:
        top = name.partition(".")[0]
        if not _NAME.fullmatch(name):
            hint = "Name a package that can be imported, such as `timm`."
            raise UsageError(f"`{name}` is no name of a package.", hint)
        if top in sys.stdlib_module_names or top == "__main__":
            raise UsageError(f"`{name}` is part of Python and cannot be admitted: a file could do anything with it.")
        if top == "torch":
            hint = "The layers of `torch.nn` are known code without `--allow`."
            raise UsageError("`torch` cannot be admitted: it has functions that run files.", hint)
    return names
