"""What no file may bring about: an audit hook that stops the process at an import, a command or a write."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import msgspec
import numpy.lib.stride_tricks  # noqa: F401 - imported now, since nothing may be later
from rich.cells import cell_len

from bnlint.artifacts.inert.child import Answer, Request
from bnlint.artifacts.inert.contents import Contents
from bnlint.artifacts.inert.directory import Directory
from bnlint.artifacts.inert.onnx_contents import OnnxContents
from bnlint.artifacts.inert.program import ProgramContents
from bnlint.artifacts.inert.script import Script
from bnlint.artifacts.inert.script_code import PARSED_AS
from bnlint.artifacts.program_schema import Payloads, Program, VersionOnly

FORBIDDEN = (
    "import", "exec", "compile", "socket", "subprocess", "os.system", "os.exec", "os.spawn", "os.posix_spawn",
    "os.fork", "os.remove", "os.rename", "os.mkdir", "os.symlink", "os.link", "os.chmod", "pty", "ctypes", "shutil",
    "pickle.find_class", "marshal", "code.__new__", "urllib", "webbrowser",
)  # fmt: skip
"""Beginnings of the names of audit events: https://docs.python.org/3/library/audit_events.html."""

_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_CODECS = ("cp437", "utf-8", "ascii", "latin-1", "raw-unicode-escape", "unicode-escape", "utf-8-sig")


class ForbiddenError(BaseException):
    """Something that no file may bring about; nothing that is meant for errors catches it."""


def warm_up() -> None:
    """Bring about what the first file would, whatever is in it."""
    for codec in _CODECS:  # of names in archives and pickles; looking one up imports it
        "".encode(codec)
    in_the_child = (Program, Payloads, VersionOnly)
    for record in (Request, Answer, Contents, Directory, Script, ProgramContents, OnnxContents, *in_the_child):
        msgspec.msgpack.Decoder(record)  # which evaluates the annotations at the first use of a class
    cell_len("\N{SNOWMAN}")  # rich imports its table of widths at the first letter beyond ASCII


def forbid() -> Callable[[], None]:
    """Forbid it from now on, in this process.

    Returns:
        What allows it again: printing a traceback needs that.
    """
    active = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if not active:
            return
        if _starts_the_reader(event, arguments):
            return
        if event == "open" and writes(arguments):
            raise ForbiddenError(f"{event} {arguments[0]}")
        if event == "compile" and arguments[1] == PARSED_AS:  # parsed only: running it would be an event of its own
            return
        if event.startswith(FORBIDDEN):
            raise ForbiddenError(f"{event} {str(arguments)[:200]}")

    def lift() -> None:
        nonlocal active
        active = False

    sys.addaudithook(hook)
    return lift


def _starts_the_reader(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether bnlint starts the process that reads untrusted files, as it does again where a file has ended one."""
    if event == "subprocess.Popen":
        return arguments[0] == sys.executable and "-I" in (*arguments[1],)  # type: ignore[misc]
    return event == "open" and (arguments[0] == os.devnull or isinstance(arguments[0], int))  # or a pipe to it


def writes(arguments: tuple[object, ...]) -> bool:
    """Whether the arguments of an audit event `open` are those of opening a file for writing, or of making one."""
    mode, flags = arguments[1], arguments[2]
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & _TO_WRITE)  # `os.open`
