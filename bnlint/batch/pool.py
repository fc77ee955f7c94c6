"""Processes that check models: one that dies or takes too long costs the model it was at, and no other."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from typing import IO, Final

from bnlint import __version__
from bnlint.artifacts.own_process import program
from bnlint.artifacts.targets import Target
from bnlint.batch.worker import Orders, Result
from bnlint.memory import may_be_shortage, remedy
from bnlint.summary import Failure

_THREADS: Final = "OMP_NUM_THREADS"


class Pool:
    """Workers that are started as they are needed, and ended together.

    Args:
        orders: What holds for all models.
        jobs: How many workers there will be; they share the processor cores.
        limit: Seconds that one model may take.
    """

    def __init__(self, orders: Orders, jobs: int, limit: float) -> None:
        self._orders = pickle.dumps(orders)
        cores = os.cpu_count() or 1
        self._environment = {_THREADS: str(max(1, cores // jobs)), **os.environ} if jobs > 1 else None
        self._limit = limit
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._closed = False

    def examine(self, target: Target) -> Result:
        """Have a worker check a target; to be called in as many threads as there are to be workers.

        Args:
            target: What to check.
        """
        worker = self._take()
        result = worker.ask(target, self._limit)
        with self._lock:
            if worker.alive:
                self._idle.append(worker)
            else:
                self._all.discard(worker)
        return result

    def end(self) -> None:
        """End all workers at once, and what they have started; who waits for one gets a `Failure`."""
        with self._lock:
            self._closed = True
            for worker in self._all:
                worker.end()

    def close(self) -> None:
        """Give back what the workers took, once nobody waits for one."""
        for worker in self._all:
            worker.close()

    def _take(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            if self._idle:
                return self._idle.pop()
            worker = _Worker(self._orders, self._environment)
            self._all.add(worker)
            return worker


class _Worker:
    """One process; it is waited for by one thread at a time."""

    def __init__(self, orders: bytes, environment: dict[str, str] | None) -> None:
        # `-P`: the current folder is not searched for what Python imports before the program begins. A group of its own
        # keeps Ctrl-C from the worker, which `end` ends, with the processes that it has started.
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-P", "-c", program("bnlint.batch.worker")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            process_group=0,
        )
        self._orders = orders
        self.alive = True

    def ask(self, target: Target, limit: float) -> Result:
        """Ask for a target and wait for the result; without one the worker is no longer alive."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.end()

        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        timer.start()
        try:
            self._send(target)
            result: Result = pickle.load(self._pipe(self._process.stdout))
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            self.end()
            code = self.close()
            return _failure(target, _late(limit)) if late.is_set() else _failure(target, _died(code), _hint(code))
        finally:
            timer.cancel()
        return result

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

    def _send(self, target: Target) -> None:
        stdin = self._pipe(self._process.stdin)
        stdin.write(self._orders + pickle.dumps(target))
        stdin.flush()
        self._orders = b""

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise ValueError("the process has no pipe")
        return pipe


def _failure(target: Target, reason: str, hint: str = "") -> Failure:
    return Failure(version=__version__, target=target.name, cause=f"`{target.name}` {reason}.", hint=hint)


def _hint(code: int) -> str:
    return f"Memory may be short. {remedy()}" if may_be_shortage(code) else ""


def _late(limit: float) -> str:
    return f"was given up after {limit:g} seconds"


def _died(code: int) -> str:
    if code >= 0:
        return f"could not be analysed: the process that read it ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"could not be analysed: the process that read it was ended by {signal.Signals(-code).name}"
    return f"could not be analysed: the process that read it was ended by signal {-code}"
