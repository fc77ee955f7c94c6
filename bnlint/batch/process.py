"""A process in which code of models runs, from outside: asked, listened to, and ended with all that it has started."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from bnlint.artifacts.inert.frames import write_frame
from bnlint.artifacts.own_process import program
from bnlint.batch.messages import PIPE_CLOSED, Done, Orders, Raised, Stage, decode
from bnlint.batch.sealed import SECRET_BYTES, BrokenSealError, Opener
from bnlint.errors import NotAnalysedError
from bnlint.memory import may_be_shortage, remedy

_TICK: Final = 0.1
"""Seconds after which it is looked at whether a process that says nothing is still there."""

_GRACE: Final = 1.0
"""Seconds that a process may take to end once it has closed its pipe."""

_AT_ONCE: Final = 1 << 16
_PIPE: Final = 1 << 20
"""Bytes that a pipe may hold, at most."""


@dataclass(frozen=True)
class Lost:
    """There is no answer, and the process is gone.

    Attributes:
        reason: What became of it, to be read after the name of what was asked about.
        hint: What may be done about it.
    """

    reason: str
    hint: str = ""


class Worker:
    """One process; one thread at a time asks it.

    Args:
        orders: What holds for all questions, from `orders_of`.
        environment: Its environment; that of this process by default.

    Raises:
        NotAnalysedError: It could not be started.
    """

    def __init__(self, orders: bytes, environment: dict[str, str] | None = None) -> None:
        # `-P`: the current folder is not searched for what Python imports before the program begins.
        # A group of its own keeps Ctrl-C from the process, which `end` ends, with the processes that it has started.
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-P", "-c", program("bnlint.batch.worker")],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                process_group=0,
            )
        except OSError as error:
            cause = f"The process that runs the code of models could not be started: {error.strerror}."
            raise NotAnalysedError(cause, "Memory may be short, or there may be too many processes.") from error
        secret = secrets.token_bytes(SECRET_BYTES)
        self._opener = Opener(secret)
        self._first: tuple[bytes, ...] = (secret, orders)
        self.alive = True

    def ask(
        self, question: Mapping[str, Any], *, limit: float | None = None, say: Callable[[str], None] | None = None
    ) -> Done | Raised | Lost:
        """Ask, and wait for the answer; without one the process is no longer alive.

        Args:
            question: Arguments for the function of the orders.
            limit: Seconds that it may take.
            say: Is told which stage of the work begins.
        """
        clock = _Clock(limit, self.end)
        answer = None
        try:
            with clock, contextlib.suppress(OSError):
                answer = self._answer(question, clock, say)
        except (BrokenSealError, pickle.UnpicklingError):
            self.end()
            return Lost("could not be analysed: its code wrote into what the process that read it answered")
        except BaseException:  # also after Ctrl-C
            self.end()
            raise
        if answer is None:
            return self._lost(clock)
        if answer.worn:
            self.end()
        return answer

    def end(self) -> None:
        """End the process and all that it has started; it may have ended by itself."""
        self.alive = False
        if self._process.returncode is not None:
            return  # it has been waited for, and its number may be that of another process by now
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> int:
        """Wait for the end of the process, and close the pipes.

        Returns:
            Exit code of the process, or the negative number of the signal that ended it.
        """
        with contextlib.suppress(OSError), self._process:
            pass
        return self._process.wait()

    def _answer(
        self, question: Mapping[str, Any], clock: _Clock, say: Callable[[str], None] | None
    ) -> Done | Raised | None:
        stdin = _pipe(self._process.stdin)
        for part in (*self._first, pickle.dumps(question)):
            write_frame(stdin, part)
        self._first = ()
        for message in self._messages(clock):
            answer = decode(message)
            if not isinstance(answer, Stage):
                return answer
            if say is not None:
                say(answer.name)
        return None

    def _messages(self, clock: _Clock) -> Iterator[bytes]:
        """What the process says, until its pipe is closed, it is gone, or time is up.

        A process that the code of the model has forked may hold the pipe open for ever.
        """
        stdout = _pipe(self._process.stdout)
        left = _PIPE  # what may still be in the pipe once the process is gone
        while left > 0 and not clock.is_late:
            has_ended = self._has_ended()
            if _can_be_read(stdout, 0 if has_ended else clock.wait):
                part = stdout.read(_AT_ONCE)
                if not part:
                    return
                left -= len(part) if has_ended else 0
                yield from self._opener.feed(part)
            elif has_ended:
                return

    def _has_ended(self) -> bool:
        """Whether the process is gone, but not yet waited for; one that has stopped itself is sent on its way."""
        if sys.platform == "win32" or not hasattr(os, "waitid"):
            return self._process.poll() is not None
        try:
            state = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # where SIGCHLD is ignored, the system waits for it
            return True
        if state is None:
            return False
        if state.si_code == os.CLD_STOPPED:
            with contextlib.suppress(OSError):
                os.kill(self._process.pid, signal.SIGCONT)
            return False
        return state.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)

    def _lost(self, clock: _Clock) -> Lost:
        if clock.is_late:
            self.end()
            self.close()
            return Lost(f"was given up after {clock.limit:g} seconds")
        ended, deadline = self._has_ended(), time.monotonic() + _GRACE
        while not ended and time.monotonic() < deadline:
            time.sleep(0.01)
            ended = self._has_ended()
        self.end()
        code = self.close()
        if not ended or code == PIPE_CLOSED:
            return Lost("could not be analysed: its code closed the pipe on which the report was to come")
        return _died(code)


class _Clock:
    """How long a question may still take.

    Args:
        limit: Seconds; `None` for as long as it takes.
        give_up: What to do then, on a system where nobody can wait for a pipe and the clock at once.
    """

    def __init__(self, limit: float | None, give_up: Callable[[], None]) -> None:
        self.limit = limit
        self._end = None if limit is None else time.monotonic() + limit
        self._timer = threading.Timer(limit, give_up) if limit is not None and sys.platform == "win32" else None

    @property
    def is_late(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    @property
    def wait(self) -> float:
        return _TICK if self._end is None else max(0.0, min(_TICK, self._end - time.monotonic()))

    def __enter__(self) -> None:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


def orders_of(function: str, arguments: Mapping[str, Any], *, debug: bool) -> bytes:
    """What a process is told first.

    Args:
        function: What answers its questions, as `package.module:name`.
        arguments: Arguments that are the same for all of them.
        debug: Whether the traceback of a failure goes to stderr.
    """
    return pickle.dumps(Orders(function, arguments, debug, tuple(sys.argv), gc.get_threshold()[0]))


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the process has no pipe")
    return pipe


def _can_be_read(pipe: IO[bytes], seconds: float) -> bool:
    """Whether there is something in a pipe, or will be in time; or whether it was closed at the other end."""
    if sys.platform == "win32":
        return True
    polled = select.poll()
    polled.register(pipe, select.POLLIN)
    return bool(polled.poll(1000 * seconds))


def _died(code: int) -> Lost:
    if code >= 0:
        return Lost(f"could not be analysed: the process that read it ended with exit code {code}", _hint(code))
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return Lost(f"could not be analysed: the process that read it was ended by {name}", _hint(code))


def _hint(code: int) -> str:
    return f"Memory may be short. {remedy()}" if may_be_shortage(code) else ""
