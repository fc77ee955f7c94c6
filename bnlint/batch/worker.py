"""The process in which code of models runs: it answers one question after another, whatever that code does."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import random
import sys
import traceback
from collections.abc import Mapping
from typing import Any, BinaryIO, Final, NoReturn

from bnlint.artifacts.inert.frames import read_frame
from bnlint.batch.messages import PIPE_CLOSED, Answer, Done, Orders, Stage, encode, raised
from bnlint.batch.sealed import seal
from bnlint.batch.wear import Wear
from bnlint.memory import watch_imports

if sys.platform != "win32":
    import fcntl
    import resource
    import signal

_LEAST_DESCRIPTOR: Final = 100
_MOST_DESCRIPTOR: Final = 900


def main() -> NoReturn:
    """Answer questions on stdin, on stdout, until stdin ends.

    What the code of a model prints, in whatever way, goes to stderr, and it finds nothing on stdin.
    """
    questions, answers = os.fdopen(_out_of_the_way(0), "rb", buffering=0), _out_of_the_way(1)
    _stand_in()
    watch_imports()
    status = 1
    try:
        serve(questions, Answers(answers, _next(questions)))
    except EOFError:
        status = 0
    except OSError:
        status = PIPE_CLOSED
    finally:
        os._exit(status)  # nobody listens: threads and `atexit` of the model's code have nobody to work for


class Answers:
    """Where the answers go.

    Args:
        pipe: Descriptor of the pipe.
        secret: The secret of this pipe.
    """

    def __init__(self, pipe: int, secret: bytes) -> None:
        self._pipe = pipe
        self._secret = secret
        self._process = os.getpid()
        self._is = _identity(pipe)

    def send(self, answer: Answer) -> None:
        """Send an answer.

        Raises:
            OSError: The code of the model has closed the pipe, or nobody reads it.
        """
        if os.getpid() != self._process:
            os._exit(0)  # a copy of this process, made by the code of the model, which has come back from it as well
        if _identity(self._pipe) != self._is:
            raise BrokenPipeError("the pipe was closed, and its number may be that of another file by now")
        left = memoryview(seal(encode(answer), self._secret))
        while left:
            left = left[os.write(self._pipe, left) :]

    def begin(self, stage: str) -> None:
        """Tell which stage begins; without the pipe nobody is told."""
        with contextlib.suppress(OSError):
            self.send(Stage(stage))


def serve(questions: BinaryIO, answers: Answers) -> None:
    """Answer what is asked.

    Args:
        questions: `Orders`, then one mapping of arguments after another.
        answers: Gets the answer to each.

    Raises:
        EOFError: There is no further question.
        OSError: The answers cannot be sent.
    """
    orders: Orders = pickle.loads(_next(questions))
    sys.argv[:] = orders.arguments_of_program
    gc.set_threshold(orders.collect_after)
    wear = Wear()
    while True:
        answer = answer_to(orders, pickle.loads(_next(questions)), answers, wear)
        try:
            answers.send(answer)
        except OSError:
            raise
        except BaseException as error:  # something of the model's own is in it
            answers.send(_failed(error, orders.debug, worn=True))


def answer_to(orders: Orders, question: Mapping[str, Any], answers: Answers, wear: Wear) -> Answer:
    """Have the function answer; every way to fail is an answer too.

    Args:
        orders: What holds for all questions.
        question: The arguments of this one.
        answers: Where stages go.
        wear: Tells whether the process has been changed.
    """
    try:
        module, _, name = orders.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        result = function(progress=answers.begin, **orders.arguments, **question)
        return Done(result, worn=wear.shows())
    except BaseException as error:
        return _failed(error, orders.debug, worn=wear.shows())


def _failed(error: BaseException, debug: bool, *, worn: bool) -> Answer:
    trace = ""
    if debug:
        with contextlib.suppress(Exception):  # it prints what the code of the model says of its own exceptions
            trace = "".join(traceback.format_exception(error))
    return raised(error, worn=worn, trace=trace)


def _next(questions: BinaryIO) -> bytes:
    message = read_frame(questions)
    if message is None:
        raise EOFError
    return message


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        about = os.fstat(descriptor)
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _out_of_the_way(descriptor: int) -> int:
    """Move a pipe to where code that writes to descriptors by number, or closes the first few, does not find it."""
    if sys.platform == "win32":
        return os.dup(descriptor)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = _MOST_DESCRIPTOR if most == resource.RLIM_INFINITY else min(most - 2, _MOST_DESCRIPTOR)
    try:
        place = random.SystemRandom().randrange(min(_LEAST_DESCRIPTOR, most - 1), most)
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, place)
    except (OSError, ValueError):
        return os.dup(descriptor)


def _stand_in() -> None:
    """Put nothing in the place of stdin, and stderr in that of stdout; a terminal does not stop this process."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # there is no stderr
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
    os.close(nothing)
    sys.stdout = sys.stderr
    if sys.__stdout__ is not None:
        sys.__stdout__.reconfigure(line_buffering=True)  # this process may be killed before it would be flushed
    if sys.platform != "win32":
        # It is not in the foreground: reading a terminal fails, and what it writes there is shown.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
