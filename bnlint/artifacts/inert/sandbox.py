"""Reads an untrusted file in a child process with little memory, and takes nothing from it but data."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from bnlint.artifacts.inert.child import SECONDS, Answer
from bnlint.artifacts.inert.contents import Contents
from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.sniff import Kind
from bnlint.errors import NotAnalysedError

_FORMS: Final = {Kind.TORCH_ZIP: "zip", Kind.TORCH_LEGACY: "legacy", Kind.PICKLE: "plain"}
_AGAIN: Final = "Download or copy it again."
_PROGRAM: Final = (
    "import sys; sys.path[:] = {path!r}; from bnlint.artifacts.inert.child import main;"
    " main({form!r}, {file!r}, {part!r}, {known!r})"
)


def read_inert(path: Path, name: str, kind: Kind, part: Region | None = None, known: Collection[str] = ()) -> Contents:
    """Read a file of `torch.save`, or a pickle, as data; nothing in it is run.

    Args:
        path: The file.
        name: What the user called it.
        kind: Its format.
        part: The part of it that is a zip archive of `torch.save`; all of it by default.
        known: The packages of known code, as for `contents`.

    Returns:
        What it holds.

    Raises:
        NotAnalysedError: The file is damaged, cut short, or needs more memory or time than any model.
    """
    answer = ask_child(_FORMS[kind], path, name, part, known)
    if answer.contents is None:
        raise NotAnalysedError(f"`{name}` is cut short or damaged.", _AGAIN)
    return answer.contents


def ask_child(form: str, path: Path, name: str, part: Region | None = None, known: Collection[str] = ()) -> Answer:
    """Have a child process read a file or a folder.

    Args:
        form: What it is, as in `child.main`.
        path: The file or folder.
        name: What the user called it.
        part: The part of it that is a zip archive of `torch.save`; all of it by default.
        known: The packages of known code, as for `contents`.

    Returns:
        What was read, without a complaint.

    Raises:
        NotAnalysedError: As for `read_inert`.
    """
    # The child looks for modules where this process does, but never in the current folder, where a file of the user may
    # have the name of a module; bnlint itself may have been found there.
    program = _PROGRAM.format(
        path=[*filter(None, sys.path), str(Path(__file__).parents[3])],
        form=form,
        file=str(path.resolve()),
        part=None if part is None else (part.start, part.size),
        known=tuple(known),
    )
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotAnalysedError(f"`{name}` takes longer to read than any model.") from error
    try:
        answer = msgspec.msgpack.decode(child.stdout, type=Answer)
    except msgspec.DecodeError as error:
        cause = f"`{name}` could not be read within the limits on memory and time for untrusted files."
        raise NotAnalysedError(cause, _AGAIN) from error
    if answer.complaint:
        raise NotAnalysedError(f"`{name}` is cut short or damaged: {answer.complaint}.", _AGAIN)
    return answer
