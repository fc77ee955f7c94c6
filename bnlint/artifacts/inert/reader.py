"""The process that reads untrusted files for this one: started at the first, and ended with this process."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from typing import Final

from bnlint.artifacts.inert.frames import READY, read_frame, write_frame
from bnlint.artifacts.own_process import program
from bnlint.errors import NotAnalysedError

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Only a process with one thread forks safely, and the threads of numpy take more memory than a child has."""

CAN_FORK: Final = hasattr(os, "fork")


class Reader:
    """A fork server that is there when it is needed; threads ask it in turns."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = b""
        self._is_ready = False
        self._lock = threading.Lock()

    def begin(self, request: bytes) -> None:
        """Have a child answer while this process has other things to do than to wait.

        Args:
            request: As for `ask`, which gives the answer; where that is asked for anything else, this one is lost.
        """
        with self._lock:
            self._send(request)

    def ask(self, request: bytes) -> bytes | None:
        """Have a child answer.

        Args:
            request: A `child.Request` as MessagePack.

        Returns:
            A `child.Answer` as MessagePack; `None` where the child ended without one.

        Raises:
            NotAnalysedError: The process that would fork it could not be started.
        """
        with self._lock:
            if self._begun != request:
                self._send(request)
            answer = None
            try:
                if self._process is not None and self._process.stdout is not None:
                    if not self._is_ready and self._process.stdout.read(len(READY)) != READY:
                        raise _not_started()
                    self._is_ready = True
                    answer = read_frame(self._process.stdout)
            finally:  # also after Ctrl-C: the answer would be taken for that to the next request
                self._begun = b""
                if answer is None:
                    self._close()
            return answer

    def _send(self, request: bytes) -> None:
        if self._begun:
            self._close()  # nobody wants the answer to that
        process = self._started()
        try:
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):  # there will be no answer either
                    write_frame(process.stdin, request)
            self._begun = request
        except BaseException:  # also after Ctrl-C: nobody knows how much of it was sent
            self._close()
            raise

    def end(self) -> None:
        """End the process, and the child that is at work."""
        if self._process is not None and not self._begun and not self._lock.locked():
            self._process.kill()  # no child is at work
        self._close()

    def forget(self) -> None:
        """Leave the process to the one that this process was forked from."""
        self._lock = threading.Lock()  # a thread that is not here may have held it
        self._close()  # as it is no child of this process, there is nothing to wait for

    def _close(self) -> None:
        process, self._process, self._begun, self._is_ready = self._process, None, b"", False
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._close()
        if self._process is None:
            self._process = subprocess.Popen(
                _command("fork_server"),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        return self._process


_READER: Final = Reader()
atexit.register(_READER.end)
if CAN_FORK:
    os.register_at_fork(after_in_child=_READER.forget)


def begin(request: bytes) -> None:
    """Have a child process begin with what `ask` will be asked for, and do not wait for it.

    Args:
        request: As for `ask`.
    """
    if CAN_FORK:
        _READER.begin(request)


def ask(request: bytes, seconds: float) -> bytes | None:
    """Have a child process answer, which ends with that.

    Args:
        request: A `child.Request` as MessagePack.
        seconds: How long it may take, where it does not see to that itself.

    Returns:
        A `child.Answer` as MessagePack; `None` where the child took too much memory or time, or died.

    Raises:
        NotAnalysedError: The process that reads could not be started, which is no fault of the file.
    """
    try:
        return _READER.ask(request) if CAN_FORK else _ask_a_new_process(request, seconds)
    except OSError as error:
        raise _not_started() from error


def _ask_a_new_process(request: bytes, seconds: float) -> bytes | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            _command("child"), input=request, capture_output=True, timeout=seconds, check=False, env=_environment()
        )
        if not done.stdout.startswith(READY):
            raise _not_started()
        return done.stdout[len(READY) :] or None
    return None


def _not_started() -> NotAnalysedError:
    cause = "The process that reads untrusted files could not be started."
    return NotAnalysedError(cause, "Memory may be short, or an installed package broken: install bnlint again.")


def _command(module: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program(f"bnlint.artifacts.inert.{module}")]


def _environment() -> dict[str, str]:
    return os.environ | _ONE_THREAD
