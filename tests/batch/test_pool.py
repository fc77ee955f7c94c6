"""Processes that die or hang cost one target."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bnlint.artifacts.targets import Target
from bnlint.batch import pool as pool_module
from bnlint.batch.examine import Skipped
from bnlint.batch.pool import Pool
from bnlint.summary import Failure
from tests.processes import gone


@pytest.fixture(autouse=True)
def _answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workers do what a target's name says, and answer with their process id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool_module, "_FUNCTION", "tests.batch.jobs:act")


@pytest.fixture
def pool() -> Pool:
    return Pool({}, jobs=1, limit=60)


def end(pool: Pool) -> None:
    pool.end()
    pool.close()


def worker_of(result: object) -> int:
    assert isinstance(result, Skipped)
    return int(result.target)


@pytest.mark.parametrize(
    ("act", "code", "says"),
    [
        ("leave", 3, "`leave` could not be analysed: the process that read it ended with exit code 0."),
        ("kill", 3, "`kill` could not be analysed: the process that read it was ended by SIGKILL."),
        ("raise_interrupt", 3, "`raise_interrupt` could not be analysed: its code raised KeyboardInterrupt."),
        ("system_exit", 2, "bnlint itself failed on `system_exit`: SystemExit: 0."),
    ],
)
def test_a_target_without_an_answer_costs_no_other(pool: Pool, act: str, code: int, says: str) -> None:
    try:
        first = worker_of(pool.examine(Target("nothing")))
        assert worker_of(pool.examine(Target("nothing"))) == first, "the same process checks one after another"
        failure = pool.examine(Target(act))
        assert isinstance(failure, Failure)
        assert (failure.target, failure.exit_code, failure.cause) == (act, code, says)
        after = worker_of(pool.examine(Target("nothing")))
        assert (after == first) == (act in {"raise_interrupt", "system_exit"})
    finally:
        end(pool)


def test_a_worker_that_is_killed_may_have_lacked_memory(pool: Pool) -> None:
    try:
        failure = pool.examine(Target("kill"))
    finally:
        end(pool)
    assert isinstance(failure, Failure)
    assert failure.hint.startswith("Memory may be short. ")


def test_a_target_that_hangs_is_given_up() -> None:
    pool = Pool({}, jobs=1, limit=2)
    try:
        failure = pool.examine(Target("hang"))
        assert isinstance(failure, Failure)
        assert (failure.exit_code, failure.cause) == (3, "`hang` was given up after 2 seconds.")
    finally:
        end(pool)


def test_a_process_that_a_model_has_changed_gets_no_other(pool: Pool) -> None:
    try:
        first = worker_of(pool.examine(Target("no_files")))
        assert gone(first)
        assert worker_of(pool.examine(Target("nothing"))) != first
    finally:
        end(pool)


def test_the_end_of_a_pool_ends_its_workers(pool: Pool) -> None:
    worker = worker_of(pool.examine(Target("nothing")))
    os.kill(worker, 0)
    end(pool)
    assert gone(worker)
    with pytest.raises(RuntimeError):
        pool.examine(Target("nothing"))


def test_the_traceback_is_shown_where_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    for debug in (False, True):
        pool = Pool({}, jobs=1, limit=60, debug=debug)
        pool.examine(Target("system_exit"))
        end(pool)
        assert ("in system_exit" in capsys.readouterr().err) == debug
