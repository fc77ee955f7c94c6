"""Processes that die or hang cost one target."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bnlint.artifacts.targets import Target
from bnlint.batch import pool as pool_module
from bnlint.batch.pool import Pool
from bnlint.batch.worker import Orders
from bnlint.summary import Failure
from tests.processes import gone

ANSWERS = """
import os, pickle, sys, time
sys.path[:] = {path!r}
orders = pickle.load(sys.stdin.buffer)
while True:
    target = pickle.load(sys.stdin.buffer)
    BODY
    from bnlint.summary import Failure
    pickle.dump(Failure(version="1", target=target.name, cause=str(os.getpid())), sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


def pool_of(body: str, monkeypatch: pytest.MonkeyPatch, limit: float = 60) -> Pool:
    """A pool whose workers do something before they answer with their process id."""
    text = ANSWERS.replace("BODY", body).format(path=sys.path)
    monkeypatch.setattr(pool_module, "program", lambda module: text)
    return Pool(Orders({}, debug=False), jobs=1, limit=limit)


def ask(pool: Pool, name: str) -> str:
    result = pool.examine(Target(name))
    assert isinstance(result, Failure)
    assert (result.target, result.exit_code) == (name, 3)
    return result.cause


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("os._exit(7)", "could not be analysed: the process that read it ended with exit code 7"),
        ("os.kill(os.getpid(), 9)", "could not be analysed: the process that read it was ended by SIGKILL"),
        (
            "sys.stdout.buffer.write(b'no pickle')",
            "could not be analysed: the process that read it was ended by SIGKILL",
        ),
    ],
)
def test_a_worker_that_dies_costs_one_target(how: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(f"if target.name == 'bad': {how}", monkeypatch)
    try:
        first = ask(pool, "a")
        assert ask(pool, "b") == first, "the same process checks one after another"
        assert ask(pool, "bad") == f"`bad` {says}."
        assert ask(pool, "c") not in (first, "")
    finally:
        pool.end()
        pool.close()


def test_a_worker_that_hangs_is_given_up_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "pid"
    start = (
        f"import subprocess; child = subprocess.Popen(['sleep', '300']); open({str(note)!r}, 'w').write(str(child.pid))"
    )
    pool = pool_of(f"{start}; time.sleep(300)", monkeypatch, limit=5)
    try:
        assert ask(pool, "slow") == "`slow` was given up after 5 seconds."
    finally:
        pool.end()
        pool.close()
    assert gone(int(note.read_text()))


def test_a_worker_that_is_killed_may_have_lacked_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of("os.kill(os.getpid(), 9)", monkeypatch)
    try:
        result = pool.examine(Target("a"))
    finally:
        pool.end()
        pool.close()
    assert isinstance(result, Failure)
    assert result.hint.startswith("Memory may be short. ")


def test_the_end_of_a_pool_ends_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of("", monkeypatch)
    worker = int(ask(pool, "a"))
    os.kill(worker, 0)
    pool.end()
    pool.close()
    assert gone(worker)
    with pytest.raises(RuntimeError):
        pool.examine(Target("b"))
