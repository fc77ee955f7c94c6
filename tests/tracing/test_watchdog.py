"""The time limit: it ends what does not come back, and leaves alone what does."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from bnlint.interruption import OutOfTime
from bnlint.tracing.watchdog import run_with_limit


def loop() -> None:
    while True:
        pass


def test_a_loop_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(OutOfTime):
        run_with_limit(0.1, loop)
    assert 0.1 <= time.monotonic() - start < 5


def test_a_loop_that_catches_it_is_hit_again() -> None:
    caught = []

    def stubborn() -> None:
        while len(caught) < 3:
            try:
                loop()
            except BaseException as error:
                caught.append(type(error))
        loop()

    with pytest.raises(OutOfTime):
        run_with_limit(0.1, stubborn)
    assert caught == [OutOfTime] * 3


class BusyWhileDestroyed:
    """Python drops what is raised while an object is destroyed."""

    def __del__(self) -> None:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass


def test_code_that_ends_just_at_the_limit_is_hit_inside_or_not_at_all() -> None:
    def busy() -> int:
        until = time.monotonic() + 0.002
        while time.monotonic() < until:
            pass
        return 1

    ended = hit = 0
    for _ in range(300):
        try:
            ended += run_with_limit(0.002, busy)
        except OutOfTime:
            hit += 1
        sum(divmod(number, 3)[0] for number in range(300))  # an exception that comes late would surface here
    assert ended + hit == 300


def test_an_error_of_the_code_comes_through() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        run_with_limit(1, int, "x")


@pytest.mark.filterwarnings("error")
def test_an_exception_that_python_drops_is_raised_again_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    def destroys() -> None:
        BusyWhileDestroyed()
        loop()

    with pytest.raises(OutOfTime):
        run_with_limit(0.1, destroys)
    assert "OutOfTime" not in capfd.readouterr().err


def test_code_that_ends_in_time_gives_its_result_and_leaves_nothing() -> None:
    handler, threads = signal.getsignal(signal.SIGALRM), threading.active_count()
    for number in range(50):
        assert run_with_limit(5, divmod, number, 7) == divmod(number, 7)
    assert signal.getsignal(signal.SIGALRM) is handler
    assert threading.active_count() == threads


def test_a_timer_that_was_set_before_runs_on() -> None:
    rung = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    before = signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(OutOfTime):
            run_with_limit(0.1, loop)
        assert rung == []
        time.sleep(0.5)
        assert rung == [True]
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_a_wait_is_ended() -> None:
    with pytest.raises(OutOfTime):
        run_with_limit(0.1, time.sleep, 60)


def test_outside_the_main_thread_it_only_calls() -> None:
    results = []
    thread = threading.Thread(target=lambda: results.append(run_with_limit(0.01, divmod, 7, 2)))
    thread.start()
    thread.join(10)
    assert results == [(3, 1)]


def test_an_import_is_left_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text(
        "import time\nend = time.monotonic() + 0.5\nwhile time.monotonic() < end: pass\ndone = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def imports() -> None:
        import slow_to_import

        imported.append(slow_to_import.done)
        loop()

    imported: list[bool] = []
    with pytest.raises(OutOfTime):
        run_with_limit(0.1, imports)
    assert imported == [True]
