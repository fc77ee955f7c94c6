"""Reads an untrusted file in a child process with little memory, and takes nothing from it but data."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from bnlint.artifacts.call_warning import warning_of_calls
from bnlint.artifacts.inert import reader
from bnlint.artifacts.inert.child import Answer, Form, Request
from bnlint.artifacts.inert.contents import Contents
from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.sniff import Kind
from bnlint.errors import AGAIN, NotAnalysedError

_FORMS: Final[dict[Kind, Form]] = {Kind.TORCH_ZIP: "zip", Kind.TORCH_LEGACY: "legacy", Kind.PICKLE: "plain"}
_OTHER_ARCHIVES: Final[dict[Kind, Form]] = {
    Kind.TORCHSCRIPT: "torchscript",
    Kind.PACKAGE: "package",
    Kind.PROGRAM: "program",
}

_BEYOND_LIMITS: Final = "A sound model needs far less: do not load it unless you know who made it."

Found = TypeVar("Found")


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
        NotAnalysedError: The file is damaged, cut short, or needs more memory or time than any model; or the process
            that reads it could not be started.
    """
    return ask_child(_FORMS[kind], path, name, Contents, part, known)


def begin_inert(path: Path, kind: Kind, known: Collection[str] = ()) -> None:
    """Begin with what a child will be asked for, while this process still imports what comes after that.

    Args:
        path: The file.
        kind: Its format; nothing is done for one that no child reads, and for ONNX.
        known: As for `read_inert`.
    """
    if kind in _FORMS:
        reader.begin(msgspec.msgpack.encode(_request(_FORMS[kind], path, None, known)))
    elif kind in _OTHER_ARCHIVES:
        reader.begin(msgspec.msgpack.encode(_request(_OTHER_ARCHIVES[kind], path, None, ())))


def ask_child(
    form: Form, path: Path, name: str, result: type[Found], part: Region | None = None, known: Collection[str] = ()
) -> Found:
    """Have a child process read a file or a folder.

    Args:
        form: What it is.
        path: The file or folder.
        name: What the user called it.
        result: What a file of this form is read as.
        part: The part of it that is a zip archive of `torch.save`; all of it by default.
        known: The packages of known code, as for `contents`.

    Returns:
        What was read.

    Raises:
        NotAnalysedError: As for `read_inert`.
    """
    request = _request(form, path, part, known)
    try:
        answered = reader.ask(msgspec.msgpack.encode(request), 2 * request.seconds)
        answer = msgspec.msgpack.decode(answered or b"", type=Answer)
        if not answer.complaint:
            return msgspec.msgpack.decode(answer.found, type=result)
    except msgspec.DecodeError as error:
        cause = f"`{name}` could not be read within the limits on memory and time for untrusted files."
        raise NotAnalysedError(cause, _BEYOND_LIMITS) from error
    with warning_of_calls(name, answer.called):
        raise NotAnalysedError(f"`{name}` is cut short or damaged: {answer.complaint}.", AGAIN)


def _request(form: Form, path: Path, part: Region | None, known: Collection[str]) -> Request:
    return Request(form, os.fsencode(path.absolute()), part, tuple(known))
