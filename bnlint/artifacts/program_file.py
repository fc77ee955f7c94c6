"""Files of `torch.export.save`, read by torch's own loader, which can run what a file carries."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from bnlint.artifacts.sniff import BAD_ZIP, inner_name
from bnlint.artifacts.user_code import first_line, user_code
from bnlint.errors import NotAnalysedError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_MEMBERS = frozenset({"archive_format", "serialized_exported_program.json"})


def is_program(path: Path) -> bool:
    """Whether a file is an exported program, told by the list of contents of its archive."""
    try:
        if not path.is_file():
            return False
        with zipfile.ZipFile(path) as archive:
            return not _MEMBERS.isdisjoint(map(inner_name, archive.namelist()))
    except BAD_ZIP:
        return False


def load_program(path: Path, name: str, *, trust: bool) -> ExportedProgram:
    """Load an exported program.

    Args:
        path: The file.
        name: What the user called it.
        trust: Whether code that the file carries may run: torch unpickles its example inputs.

    Returns:
        The program.

    Raises:
        NotAnalysedError: It is not trusted, is damaged, or needs operators that are not loaded.
    """
    if not trust:
        cause = f"`{name}` is a torch.export program, and loading it can run code that it carries."
        raise NotAnalysedError(cause, "Give `--trust` only for a file from someone you trust.")
    import torch

    try:
        with user_code():
            return torch.export.load(path)
    except (Exception, SystemExit) as error:
        cause = f"`{name}` cannot be loaded by torch.export: {type(error).__name__}: {first_line(error)}."
        raise NotAnalysedError(cause) from error
