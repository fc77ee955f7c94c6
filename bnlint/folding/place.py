"""Moves a folded model and its record to where they belong: both whole, or nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bnlint.errors import NotAnalysedError, UsageError
from bnlint.folding.record import beside
from bnlint.opening import is_there, reason, refusal, resolved


@dataclass(frozen=True)
class Staged:
    """Files in the folder of the output, from where they can be moved there in one step.

    Attributes:
        place: Where the folded model will be.
        model: For the folded model.
        record: For its record.
    """

    place: Path
    model: Path
    record: Path


@contextlib.contextmanager
def staged(output: Path) -> Iterator[Staged]:
    """Names for the files of a fold; whatever was written under them is gone afterwards.

    Args:
        output: Where the folded model goes; a symbolic link stays, and what it points to is written.

    Raises:
        NotAnalysedError: There is no such place, or nothing can be written there.
    """
    place = _place(output)
    if not os.access(place.parent, os.W_OK | os.X_OK):  # said before the model is folded, not after
        raise NotAnalysedError(f"`{output}` cannot be written: its folder cannot be written to.")
    token = secrets.token_hex(4)
    files = Staged(place, *(path.with_name(f".{path.name}.{token}.tmp") for path in (place, beside(place))))
    try:
        yield files
    finally:
        for file in (files.model, files.record):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def put(files: Staged, output: Path, *, replace: bool) -> None:
    """Move the files of a fold to where they belong.

    Args:
        files: The files, both written.
        output: What the user called the place of the folded model.
        replace: Whether files that are there are replaced, each in one step.

    Raises:
        UsageError: There is a file now, and it is not to be replaced.
        NotAnalysedError: If they cannot be moved. Then, as in the other case, no file was changed or added.
    """
    try:
        if replace:
            _replace(files, files.place)
        else:
            _add(files, files.place)
    except FileExistsError as error:
        cause = f"The output `{output}` or its record was written by another program meanwhile."
        raise UsageError(cause, "Give another, or `--overwrite` to replace it.") from error
    except OSError as error:
        raise cannot_be_written(output, error) from error
    _flush_folder(files.place.parent)


def cannot_be_written(output: Path, error: OSError) -> NotAnalysedError:
    """The error to raise where an output cannot be written.

    Args:
        output: What the user called it.
        error: What the system says.
    """
    return NotAnalysedError(f"`{output}` cannot be written: {reason(error)}.")


def _place(output: Path) -> Path:
    if why := refusal(output):
        raise NotAnalysedError(f"`{output}` cannot be written: {why}.")
    return resolved(output)


def _replace(files: Staged, place: Path) -> None:
    """The record first: beside an older model it does not fit, which `bnlint verify` sees."""
    is_new = not is_there(beside(place))
    if is_there(place):
        shutil.copymode(place, files.model)
    files.record.replace(beside(place))
    try:
        files.model.replace(place)
    except BaseException:
        if is_new:
            beside(place).unlink()
        raise


def _add(files: Staged, place: Path) -> None:
    """The record first here too: of several folds to one output, the first to have it goes on."""
    _claim(files.record, beside(place))
    try:
        _claim(files.model, place)
    except BaseException:
        beside(place).unlink()
        raise


def _claim(file: Path, place: Path) -> None:
    """Give a file another name, unless there is such a file already."""
    try:
        os.link(file, place)
        return
    except FileExistsError:
        raise
    except (OSError, NotImplementedError, AttributeError):  # not every file system has hard links, nor every system
        place.open("xb").close()
    try:
        file.replace(place)
    except BaseException:
        place.unlink()
        raise


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every system can open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
