"""Files of `torch.export.save`, read by torch's own loader, which can run what a file carries."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bnlint.artifacts.current_folder import admitting, withheld
from bnlint.artifacts.inert.sandbox import read_inert
from bnlint.artifacts.sniff import Kind, sniff
from bnlint.artifacts.user_code import described, user_code
from bnlint.artifacts.zip_members import BAD_ZIP, open_archive, region_of, stored_members
from bnlint.errors import NotAnalysedError
from bnlint.opening import open_regular

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def is_program(path: Path) -> bool:
    """Whether a file is an exported program, told by the list of contents of its archive."""
    try:
        with open_regular(path) as file:
            return sniff(file).kind is Kind.PROGRAM
    except (OSError, ValueError):
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

    with _logged() as said:
        try:
            with user_code(), admitting(*_named(path, name)), open_regular(path) as file:
                # By its name, torch will refuse a program that is not called .pt2.
                return torch.export.load(path if path.suffix == ".pt2" else file)
        except (Exception, SystemExit) as error:
            operator = _MISSING.search("".join(said))
            if operator is not None:
                cause = f"`{name}` calls `{operator[1]}`, an operator of a library that is not imported here."
                raise NotAnalysedError(cause, "In Python, import that library before bnlint loads the file.") from error
            cause = f"`{name}` cannot be loaded by torch.export: {described(error)}."
            raise NotAnalysedError(cause, withheld(error)) from error


def _named(path: Path, name: str) -> list[str]:
    """Classes and functions that the pickles in a program name, such as the class of an example input."""
    named: list[str] = []
    with contextlib.suppress(*BAD_ZIP, NotAnalysedError), open_regular(path) as file, open_archive(file) as archive:
        for member, info in stored_members(archive).items():
            if member.endswith(".pt"):
                named += read_inert(path, name, Kind.TORCH_ZIP, region_of(file, info)).named
    return named


_LOGGERS: Final = ("torch.export", "torch.export.pt2_archive._package", "torch._export.serde.serialize")
_MISSING: Final = re.compile(r"failed to resolve torch\.ops\.([\w.]+) to an operator")


@contextlib.contextmanager
def _logged() -> Iterator[list[str]]:
    """Hold back what torch logs of a file, tracebacks among it: it logs the cause, and raises another error."""
    said: list[str] = []

    def hold_back(record: logging.LogRecord) -> bool:
        with contextlib.suppress(TypeError):  # torch forgets an argument where it unpickles example inputs
            said.append(f"{record.getMessage()}: {record.exc_info[1] if record.exc_info else ''}\n")
        return False

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(hold_back)
    try:
        yield said
    finally:
        for logger in loggers:
            logger.removeFilter(hold_back)
