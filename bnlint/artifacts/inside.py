"""Names of files that a file gives: none may lead out of its folder."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath


def is_inside(file: str) -> bool:
    """Whether a relative name stays in its folder, on any system.

    Links are followed: the cache of the Hugging Face hub is made of links into another folder.

    Args:
        file: The name as it stands in an index.
    """
    windows = PureWindowsPath(file)
    parts = {*PurePosixPath(file).parts, *windows.parts}
    return bool(file) and "\0" not in file and not file.startswith("/") and not windows.anchor and ".." not in parts
