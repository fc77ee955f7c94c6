"""Processes that check models: one that dies or takes too long costs the model it was at, and no other."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final

from bnlint import __version__
from bnlint.artifacts.targets import Target
from bnlint.batch.examine import Result
from bnlint.batch.messages import Done, Raised
from bnlint.batch.process import Worker, orders_of
from bnlint.errors import InternalError
from bnlint.summary import Failure

_FUNCTION: Final = "bnlint.batch.examine:examine"
_THREADS: Final = "OMP_NUM_THREADS"


class Pool:
    """Workers that are started as they are needed, and ended together.

    Args:
        arguments: Arguments of `bnlint.check` for all models.
        jobs: How many workers there will be; they share the processor cores.
        limit: Seconds that one model may take.
        debug: Whether the traceback of a failure goes to stderr.
    """

    def __init__(self, arguments: Mapping[str, Any], jobs: int, limit: float, *, debug: bool = False) -> None:
        self._orders = orders_of(_FUNCTION, arguments, debug=debug)
        cores = os.cpu_count() or 1
        self._environment = {_THREADS: str(max(1, cores // jobs)), **os.environ} if jobs > 1 else None
        self._limit = limit
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._closed = False

    def examine(self, target: Target) -> Result:
        """Have a worker check a target; to be called in as many threads as there are to be workers.

        Args:
            target: What to check.
        """
        worker = self._take()
        answer = worker.ask({"target": target}, limit=self._limit)
        with self._lock:
            if worker.alive:
                self._idle.append(worker)
            else:
                self._all.discard(worker)
        if not worker.alive:
            worker.close()
        if isinstance(answer, Done):
            result: Result = answer.result
            return result
        if isinstance(answer, Raised):
            return _failure(target, answer)
        cause = f"`{target.name}` {answer.reason}."
        return Failure(version=__version__, target=target.name, cause=cause, hint=answer.hint)

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

    def _take(self) -> Worker:
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            if self._idle:
                return self._idle.pop()
            worker = Worker(self._orders, self._environment)
            self._all.add(worker)
            return worker


def _failure(target: Target, raised: Raised) -> Failure:
    error = raised.error(target.name)
    if error.trace:
        sys.stderr.write(error.trace)
    if isinstance(error, InternalError):
        return Failure(
            version=__version__,
            target=target.name,
            cause=f"bnlint itself failed on `{target.name}`: {error}.",
            hint="Check it alone with `--debug`, and report it.",
            exit_code=2,
        )
    return Failure.of(target.name, error)
