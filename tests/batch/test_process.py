"""Whatever code of models does in a process of its own, whoever asked has an answer."""

from __future__ import annotations

import contextlib
import enum
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from bnlint.batch.alone import run_alone
from bnlint.batch.messages import Done, decode, encode
from bnlint.batch.process import Lost, Worker, orders_of
from bnlint.batch.sealed import BrokenSealError, Opener, seal
from bnlint.errors import InternalError, NotAnalysedError
from tests.batch import acts, jobs
from tests.processes import gone

LIVES_ON = (
    acts.noise,
    acts.rubbish,
    acts.no_files,
    acts.fork_and_go_on,
    acts.stop,
    acts.thread,
    acts.at_exit,
    acts.no_signals,
    acts.read_everything,
)
ENDED = "the process that read it ended with exit code"
KILLED = "the process that read it was ended by"
DIES = {
    acts.close_all: "its code closed the pipe",
    acts.close_and_wait: "its code closed the pipe",
    acts.close_and_reuse: "its code closed the pipe",
    acts.leave: f"{ENDED} 0",
    acts.leave_with_1: f"{ENDED} 1",
    acts.leave_a_child: f"{ENDED} 0",
    acts.leave_a_daemon: f"{ENDED} 0",
    acts.exec_another: f"{ENDED} 0",
    acts.end_the_group: f"{KILLED} SIGTERM",
    acts.kill: f"{KILLED} SIGKILL. Memory may be short",
    acts.crash: f"{KILLED} SIGSEGV",
    acts.abort: f"{KILLED} SIGABRT",
    acts.interrupt: "its code raised KeyboardInterrupt",
    acts.raise_interrupt: "its code raised KeyboardInterrupt",
    acts.raise_own: "its code raised Own",
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(act: str, limit: float | None = None) -> Any:
    return run_alone("tests.batch.jobs:act", {"target": act}, name="a:b", progress=STAGES.append, limit=limit)


STAGES: list[str] = []


@pytest.mark.parametrize("act", LIVES_ON, ids=lambda act: act.__name__)
def test_the_answer_comes_whatever_the_code_does(act: Any) -> None:
    STAGES.clear()
    answer = run(act.__name__)
    assert gone(int(answer.target))
    assert STAGES == ["acting", "done"]


@pytest.mark.parametrize(("act", "says"), DIES.items(), ids=lambda item: getattr(item, "__name__", ""))
def test_a_process_without_an_answer_is_a_sentence(act: Any, says: str) -> None:
    with pytest.raises(NotAnalysedError) as raised:
        run(act.__name__)
    assert str(raised.value).startswith(f"`a:b` could not be analysed: {says}")
    assert raised.value.exit_code == 3


def test_a_thread_that_writes_all_the_time_is_answered_or_said() -> None:
    with contextlib.suppress(NotAnalysedError):  # it may write into the middle of the answer
        answer = run("much_rubbish", limit=20)
        assert gone(int(answer.target))


def test_a_process_that_no_exception_reaches_is_given_up_with_all_that_it_started() -> None:
    with pytest.raises(NotAnalysedError, match=r"^`a:b` was given up after 4 seconds\.$"):
        run("hang", limit=4)
    assert all(gone(int(number)) for number in Path("running").read_text().split())


def test_what_the_code_writes_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    run("noise")
    out, err = capfd.readouterr()
    assert (out, err.count("noise\n")) == ("", acts.NOISE)


def test_other_exceptions_say_which_they_were() -> None:
    with pytest.raises(InternalError, match=r"^SystemExit: 0$"):
        run("system_exit")
    with pytest.raises(InternalError, match=r"^KeyError: 'no_such_act'$"):
        run("no_such_act")


class Text(str):
    __slots__ = ()


class Level(enum.Enum):
    HIGH = 1


PLAIN = (math.inf, 10**400, "\ud800", {"a": (1, [None, b"b"])}, frozenset({True}))


def numbers() -> Any:
    return [numpy.float64(0.5), numpy.int64(2), Text("a"), torch.Size([1, 2]), *PLAIN]


def test_values_of_the_models_classes_come_as_plain_ones() -> None:
    answer = decode(encode(Done(numbers())))
    assert isinstance(answer, Done)
    assert answer.result == [0.5, 2, "a", (1, 2), *PLAIN]
    assert [type(value) for value in answer.result[:4]] == [float, int, str, tuple]


@pytest.mark.parametrize("value", [Level.HIGH, jobs.act, Path, os.system, eval, lambda: 0])
def test_no_code_outside_bnlint_is_named_in_an_answer(value: Any) -> None:
    with pytest.raises(Exception, match=r"no part of an answer|[Cc]an't pickle|missing"):
        decode(encode(Done(value)))


def test_rubbish_between_messages_is_left_out_and_inside_one_is_found() -> None:
    secret = bytes(range(32))
    stream = b"x" * 1000 + seal(b"one", secret) + secret[:31] + seal(b"", secret) + b"\0" * 40 + seal(b"two", secret)
    for size in (1, 7, 64, 10_000):
        opener = Opener(secret)
        parts = (stream[start : start + size] for start in range(0, len(stream), size))
        assert [message for part in parts for message in opener.feed(part)] == [b"one", b"", b"two"]
    sealed = bytearray(seal(b"message", secret))
    for place in range(len(secret), len(sealed)):
        damaged = bytes(sealed[:place]) + bytes([sealed[place] ^ 255]) + bytes(sealed[place + 1 :])
        try:
            assert list(Opener(secret).feed(damaged)) == []  # it may only have become longer
        except BrokenSealError:
            continue
    assert list(Opener(bytes(32)).feed(bytes(sealed))) == []


def test_a_process_that_was_changed_answers_no_further_question(tmp_path: Path) -> None:
    worker = Worker(orders_of("tests.batch.jobs:act", {}, debug=False))
    try:
        first, second = (worker.ask({"target": "nothing"}) for _ in range(2))
        assert isinstance(first, Done)
        assert first == second, "the same process"
        assert isinstance(worker.ask({"target": "no_files"}), Done)
        assert not worker.alive
        assert isinstance(worker.ask({"target": "nothing"}), Lost)
    finally:
        worker.end()
        worker.close()


def test_the_end_of_who_asked_is_the_end_of_the_process() -> None:
    worker = Worker(orders_of("tests.batch.jobs:act", {}, debug=False))
    answer = worker.ask({"target": "thread"})
    assert isinstance(answer, Done)
    stdin = worker._process.stdin
    assert stdin is not None
    stdin.close()
    assert gone(int(answer.result.target))
    worker.close()


def test_who_interrupts_waits_for_nobody() -> None:
    def interrupted(_stage: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_alone("tests.batch.jobs:act", {"target": "hang"}, name="a:b", progress=interrupted)


def test_a_process_that_cannot_be_started_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(Path("nowhere")))
    with pytest.raises(NotAnalysedError, match="could not be started: No such file or directory"):
        run("nothing")
