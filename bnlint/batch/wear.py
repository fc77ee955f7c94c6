"""What the code of one model may leave behind for the next in the same process."""

from __future__ import annotations

import os
import sys
from typing import Final

if sys.platform != "win32":
    import resource

    _LIMITS: Final = tuple(
        getattr(resource, name) for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
    )


class Wear:
    """Remembers what the names of files and the limits on this process depend on."""

    def __init__(self) -> None:
        self._before = _state()

    def shows(self) -> bool:
        """Whether the current folder or a limit is another now."""
        return _state() != self._before


def _state() -> tuple[object, ...]:
    try:
        folder = os.getcwd()  # noqa: PTH109 (a model may have replaced anything in pathlib)
    except OSError:
        folder = ""
    limits = () if sys.platform == "win32" else tuple(map(resource.getrlimit, _LIMITS))
    return folder, limits
