"""The process that forks a child for each untrusted file: started once, it never sees a byte of a file itself."""

from __future__ import annotations

import os
import select
import signal
import sys
from io import FileIO

import msgspec

from bnlint.artifacts.inert.child import Request, answer_to, reader_of
from bnlint.artifacts.inert.frames import READY, read_frame, write_frame


def main() -> None:
    """Have a child answer each request on stdin, on stdout, until stdin ends or a child fails.

    Whatever started this process closes stdin by ending, in whatever way; a child that is at work then is killed.
    """
    if sys.platform == "win32":
        raise OSError("processes cannot fork")
    questions, answers = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what a library prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reader_of("zip")  # the commonest form, while the process that asks is still starting
    answers.write(READY)
    while (message := read_frame(questions)) is not None:
        if not _answered_by_child(msgspec.msgpack.decode(message, type=Request), questions, answers):
            return


def _answered_by_child(request: Request, questions: FileIO, answers: FileIO) -> bool:
    """Fork; false where the child did not end well, and may have answered in half."""
    if sys.platform == "win32":
        return False
    reader_of(request.form)  # what it imports is there for all later children
    ended, alive = os.pipe()
    child = os.fork()
    if child == 0:
        _be_child(request, answers)
    os.close(alive)
    asked_for = _ends_before(ended, questions.fileno())
    os.close(ended)
    if not asked_for:
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0 and asked_for


def _be_child(request: Request, answers: FileIO) -> None:
    status = 1
    try:
        write_frame(answers, answer_to(request))
        status = 0
    finally:
        os._exit(status)


def _ends_before(pipe: int, other: int) -> bool:
    """Wait until the writers of one of two pipes are gone; whether it is the first."""
    polled = select.poll()
    # What can be read from them does not matter: the next question may be there before the child is gone.
    polled.register(pipe, select.POLLHUP)
    polled.register(other, select.POLLHUP)
    gone: set[int] = set()
    while not gone:
        gone = {descriptor for descriptor, event in polled.poll() if event & ~select.POLLIN}
    return pipe in gone
