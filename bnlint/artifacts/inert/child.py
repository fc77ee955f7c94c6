"""The child process that reads one untrusted file: it prints what the file holds and can do little else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec

from bnlint.artifacts.inert.archive import open_zip
from bnlint.artifacts.inert.contents import Contents, contents
from bnlint.artifacts.inert.directory import Directory, read_directory
from bnlint.artifacts.inert.legacy import open_legacy, open_plain
from bnlint.artifacts.inert.onnx_contents import OnnxContents, read_onnx
from bnlint.artifacts.inert.package import read_package
from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.inert.script import Script, read_script

MEMORY: Final = 1 << 30
"""Address space of the child, in bytes."""

SECONDS: Final = 60
"""Processor time of the child."""

_OPENERS: Final = {"zip": open_zip, "legacy": open_legacy, "plain": open_plain}


class Answer(msgspec.Struct, frozen=True):
    """What the child prints: what it read, by the form of the file, or in words what is wrong with it."""

    contents: Contents | None = None
    directory: Directory | None = None
    script: Script | None = None
    onnx: OnnxContents | None = None
    complaint: str = ""


def main(form: str, path: str, part: tuple[int, int] | None = None, known: tuple[str, ...] = ()) -> None:
    """Read a file and print the answer as MessagePack.

    Args:
        form: `zip`, `legacy`, `plain`, `directory`, `package`, `torchscript` or `onnx`.
        path: The file.
        part: Start and size of the part of it that is a zip archive; all of it by default.
        known: The packages of known code, as for `contents`.
    """
    _limit()
    try:
        answer = _read(form, Path(path), part, known)
    except MemoryError:
        answer = Answer(complaint="it takes more memory than any model needs")
    except RecursionError:
        answer = Answer(complaint="it nests deeper than any model")
    except ValueError as error:
        answer = Answer(complaint=str(error))
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


def _read(form: str, path: Path, part: tuple[int, int] | None, known: tuple[str, ...]) -> Answer:
    if form == "directory":
        return Answer(directory=read_directory(path))
    if form == "package":
        return Answer(read_package(path))
    if form == "torchscript":
        return Answer(script=read_script(path))
    if form == "onnx":
        return Answer(onnx=read_onnx(path))
    opened = _OPENERS[form](path) if part is None else open_zip(path, Region(*part))
    return Answer(contents(opened, known))


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not on Windows: there only the limits of the reader itself hold
        return
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_FSIZE, 0)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
