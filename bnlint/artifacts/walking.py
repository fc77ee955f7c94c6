"""Walking through folders of any depth; Python's own walk calls itself for each level before 3.12."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator


def walk(top: str, unreadable: Callable[[str], object] = lambda _: None) -> Iterator[tuple[str, list[str], list[str]]]:
    """The folders below one, each before those in it, as `os.walk` has them; links to folders are not followed.

    Args:
        top: The folder to begin with.
        unreadable: Is told each folder that cannot be read.

    Yields:
        A folder, the names of the folders in it, of which those are walked through that the caller leaves in the list,
        and the names of everything else in it; all in the order of their names.
    """
    pending = [top]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted((entry.name, _is_folder(entry), entry.is_symlink()) for entry in entries)
        except (OSError, ValueError):
            unreadable(folder)
            continue
        links = {name for name, _, is_link in found if is_link}
        inner = [name for name, is_folder, _ in found if is_folder]
        yield folder, inner, [name for name, is_folder, _ in found if not is_folder]
        # `Path` would take the whole of each path apart.
        pending += [os.path.join(folder, name) for name in reversed(inner) if name not in links]  # noqa: PTH118


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
