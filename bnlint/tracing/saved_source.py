"""Source files that a saved program names: nothing is opened, for it may name any file of this machine."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path, PurePath, PureWindowsPath


@cache
def relative_by_name(file: str) -> str:
    """The path of a source file relative to the current folder or to the import root that it comes from.

    Args:
        file: The path where the program was made, which may have been another machine.

    Returns:
        The name alone where the file lies below none of these. The file system is not looked at.
    """
    path = PureWindowsPath(file) if "\\" in file else PurePath(file)
    roots = [root for entry in (str(Path.cwd()), *sys.path) if (root := PurePath(entry)).is_absolute()]
    nearest = max((root for root in roots if path.is_relative_to(root)), key=lambda root: len(root.parts), default=None)
    return path.name if nearest is None else path.relative_to(nearest).as_posix()
