"""Checks many models and gives their reports as they come, in the order of their names."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from bnlint.artifacts.targets import Target, find_targets
from bnlint.batch.arguments import checked
from bnlint.batch.examine import Result, Skipped
from bnlint.batch.pool import Pool
from bnlint.checking.options import CheckOptions, for_many
from bnlint.checking.signature import takes_options
from bnlint.errors import UsageError
from bnlint.report import Report
from bnlint.summary import Failure

if TYPE_CHECKING:
    from typing import Unpack

    from bnlint.checking.keywords import FilesKeywords

FILE_TIMEOUT: Final = 600.0
"""Seconds that one model may take; the largest checkpoints take a few."""

_AHEAD: Final = 8
"""Models for each process that may be looked at while the report of an earlier one is still waited for."""


@takes_options(filter(for_many, CheckOptions.entries.values()))
def check_files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    jobs: int = 1,
    file_timeout: float = FILE_TIMEOUT,
    **options: Unpack[FilesKeywords],
) -> Iterator[Report | Failure]:
    """Check the models that paths stand for, each in a process that can fail without harm to the rest.

    Args:
        paths: Files, folders, which are searched, patterns such as `runs/**/*.pt`, or import strings.
        jobs: How many processes work at once.
        file_timeout: Seconds that one model may take.
        **options: Those of `bnlint.check` that can hold for all models.

    Yields:
        The report of each model, or why there is none, in the order of their names, as soon as it is there. Files in
        folders that are no models are left out.

    Raises:
        UsageError: For a wrong argument, a pattern that matches nothing, or a mistake in a configuration or rule file.
    """
    names = (paths,) if isinstance(paths, str | os.PathLike) else paths
    targets = find_targets(os.fspath(name) for name in names)
    with closing(examine_targets(targets, options, jobs=jobs, file_timeout=file_timeout)) as results:
        for result in results:
            if not isinstance(result, Skipped):
                yield result


def examine_targets(
    targets: Sequence[Target],
    arguments: Mapping[str, Any],
    *,
    jobs: int = 1,
    file_timeout: float = FILE_TIMEOUT,
    debug: bool = False,
) -> Generator[Result, None, None]:
    """Check targets in processes of their own.

    Args:
        targets: What to check.
        arguments: Arguments of `bnlint.check` for all of them.
        jobs: How many processes work at once.
        file_timeout: Seconds that one target may take.
        debug: Whether the traceback of a failure goes to stderr.

    Yields:
        The result of each target, in their order.

    Raises:
        UsageError: As for `check_files`.
    """
    if jobs < 1:
        raise UsageError(f"The number of jobs is {jobs}, but at least one is needed.")
    pool = Pool(checked(arguments), jobs, file_timeout, debug=debug)
    with _submitting(pool, jobs) as submit:
        waiting: deque[Future[Result]] = deque()
        for target in targets:
            waiting.append(submit(target))
            while waiting and (waiting[0].done() or len(waiting) >= _AHEAD * jobs):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _submitting(pool: Pool, jobs: int) -> Iterator[Callable[[Target], Future[Result]]]:
    """A function that has a thread wait for a worker; however the block ends, no worker outlives it."""
    with ThreadPoolExecutor(jobs) as threads:
        try:
            yield lambda target: threads.submit(pool.examine, target)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            pool.end()
    pool.close()
