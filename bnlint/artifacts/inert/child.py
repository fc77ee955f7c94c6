"""What a process does that reads one untrusted file: it can do little else, and answers with what the file holds."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from bnlint.artifacts.inert.frames import READY
from bnlint.artifacts.inert.regions import Region
from bnlint.opening import reason

if TYPE_CHECKING:
    from bnlint.artifacts.inert.machine import Names

if sys.platform != "win32":
    import resource

MEMORY: Final = 1 << 30
"""Address space of the child, in bytes."""

SECONDS: Final = 10
"""Processor time of the child, several times that of a checkpoint of 100,000 tensors; it may take twice that long, so
that a slow disk is no fault of the file."""

_NOTHING: Final = msgspec.Raw(msgspec.msgpack.encode(None))

LARGEST_ANSWER: Final = 1 << 27
"""Bytes of an answer; each tensor takes about a hundred."""

Form = Literal["zip", "legacy", "plain", "directory", "package", "torchscript", "program", "onnx"]


class Request(msgspec.Struct, frozen=True):
    """What a child is asked for.

    Attributes:
        form: What the file is; `directory` for a folder of `torch.distributed.checkpoint`.
        path: The file or folder, absolute, as the system writes it: not every name is text.
        part: For the form `zip`: the part of the file that is the archive; all of it where there is none.
        known: For files of `torch.save` and pickles: the packages of known code, as for `contents`.
        memory: Address space that the child may take, in bytes.
        seconds: Processor time that it may take.
    """

    form: Form
    path: bytes
    part: Region | None = None
    known: tuple[str, ...] = ()
    memory: int = MEMORY
    seconds: int = SECONDS

    @property
    def file(self) -> Path:
        """The file or folder."""
        return Path(os.fsdecode(self.path))


class Answer(msgspec.Struct, frozen=True):
    """What a child answers.

    Attributes:
        found: What it read, as MessagePack; nothing where there is a complaint.
        complaint: What is wrong with the file, in words.
        called: Where there is a complaint: dotted names of what loading the file would call before it comes to that.
    """

    found: msgspec.Raw = _NOTHING
    complaint: str = ""
    called: tuple[str, ...] = ()


def main() -> None:
    """Answer the one request on stdin, on stdout; for systems where processes cannot fork."""
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()  # this process may die of the file
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Request)
    sys.stdout.buffer.write(answer_to(request))


def answer_to(request: Request) -> bytes:
    """Read a file within the limits of the request, which hold for this process from now on.

    Args:
        request: What to read.

    Returns:
        An `Answer` as MessagePack.
    """
    read = reader_of(request.form)
    gc.disable()  # this process ends before there is anything to collect: a third of the time of a large pickle
    _limit(request.memory, request.seconds)
    return msgspec.msgpack.encode(answer_of(read, request))


def answer_of(read: Callable[[Request, Names], object], request: Request) -> Answer:
    """Read a file, and say in words what is wrong with it.

    Args:
        read: What reads it.
        request: The file.
    """
    from bnlint.artifacts.inert.machine import Names  # the process that asks needs none of it

    seen = Names()
    try:
        found = msgspec.msgpack.encode(read(request, seen))
    except MemoryError:
        return _complaint("it takes more memory than any model needs", seen)
    except RecursionError:
        return _complaint("it nests deeper than any model", seen)
    except OSError as error:  # it was sound when the process that asks looked at it
        return _complaint(reason(error), seen)
    except OverflowError:
        return _complaint("it holds a number of more than 64 bits", seen)
    except ValueError as error:
        return _complaint(str(error), seen)
    if len(found) > LARGEST_ANSWER:  # the process that asks has no limit, and takes a few times as much
        return _complaint("it describes more than any model needs", seen)
    return Answer(msgspec.Raw(found))


def _complaint(words: str, seen: Names) -> Answer:
    if not seen.called:
        return Answer(complaint=words)
    from bnlint.artifacts.inert.callees import true_names
    from bnlint.artifacts.inert.inline import note_inline

    with contextlib.suppress(MemoryError, RecursionError):
        note_inline(seen)
    return Answer(complaint=words, called=true_names(seen.called))


def reader_of(form: Form) -> Callable[[Request, Names], object]:
    """What reads files of a form; its modules are imported now, and no others.

    Args:
        form: The form.
    """
    if form == "directory":
        from bnlint.artifacts.inert.directory import read_directory

        return lambda request, seen: read_directory(request.file, seen)
    if form == "package":
        from bnlint.artifacts.inert.package import read_package

        return lambda request, seen: read_package(request.file, seen)
    if form == "torchscript":
        from bnlint.artifacts.inert.script import read_script

        return lambda request, _: read_script(request.file)
    if form == "program":
        from bnlint.artifacts.inert.program import read_program_archive

        return lambda request, _: read_program_archive(request.file)
    if form == "onnx":
        import onnx  # noqa: F401 - it takes long, and is not the file's doing

        from bnlint.artifacts.inert.onnx_contents import read_onnx

        return lambda request, _: read_onnx(request.file)
    return _reader_of_pickles(form)


def _reader_of_pickles(form: Literal["zip", "legacy", "plain"]) -> Callable[[Request, Names], object]:
    from bnlint.artifacts.inert.contents import contents

    if form == "zip":
        from bnlint.artifacts.inert.archive import open_zip

        return lambda request, seen: contents(open_zip(request.file, request.part, seen), request.known)
    from bnlint.artifacts.inert.legacy import open_legacy, open_plain

    opened = open_legacy if form == "legacy" else open_plain
    return lambda request, seen: contents(opened(request.file, seen), request.known)


def _limit(memory: int, seconds: int) -> None:
    if sys.platform == "win32":  # which has none of this: there only the limits of the reader itself hold
        return
    for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, 0)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(2 * seconds)
