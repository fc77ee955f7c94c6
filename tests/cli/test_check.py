from __future__ import annotations

import json
import sys
import time
import types
from typing import Any

import pytest

from bnlint.errors import NotAnalysedError, RuleFileError, UsageError
from bnlint.report import Severity
from tests.cli.conftest import Run, raises, returns
from tests.reporters.reports import NEEDS_BATCH_SIZE, full_report, never_updated, not_traced, report

FORMATS = ("full", "concise", "json")


def test_arguments_arrive(run: Run, linter: types.ModuleType) -> None:
    calls: list[dict[str, Any]] = []
    linter.check = returns(report(), calls)  # type: ignore[attr-defined]
    reading = "check a.pt --weights w.pth --input 1x3x8x8 --input 1x5:int64 --trust --key ema --allow timm --kwargs"
    training = "--context training --batch-size 4 --devices 8 --accumulate 2 --dataset-size 1000 --drop-last"
    judging = "--dtype float16 --select BN5,BN101 --select own --ignore BN503 --require BN502"
    ending = "--fail-on never --timeout 2.5 --rules one --rules two"
    running = "--run --padding 1 --padding mask=1:0 --data real.pt --data-batches 3"
    ended = run(*reading.split(), "{width: 3}", *training.split(), *judging.split(), *running.split(), *ending.split())
    assert ended.code == 0
    (call,) = calls
    del call["progress"]
    assert call | {"rules": [str(folder) for folder in call["rules"]]} == {
        "target": "a.pt",
        "weights": "w.pth",
        "kwargs": {"width": 3},
        "inputs": ("1x3x8x8", "1x5:int64"),
        "trust": True,
        "allow": ("timm",),
        "key": "ema",
        "context": "training",
        "batch_size": 4,
        "devices": 8,
        "accumulate": 2,
        "dataset_size": 1000,
        "drop_last": True,
        "deploy_dtype": "float16",
        "run": True,
        "padding": ("1", "mask=1:0"),
        "data": "real.pt",
        "data_batches": 3,
        "select": ("BN5", "BN101", "own"),
        "ignore": ("BN503",),
        "require": ("BN502",),
        "fail_on": "never",
        "severity": {},
        "options": {},
        "profile": None,
        "config": None,
        "timeout": 2.5,
        "rules": ["one", "two"],
    }


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"not_run": NEEDS_BATCH_SIZE}, 0),
        ({"findings": (not_traced(),)}, 0),
        ({"findings": (never_updated(),)}, 1),
        ({"findings": (not_traced(),), "fail_on": Severity.INFO}, 1),
        ({"findings": (never_updated(),), "fail_on": None}, 0),
        ({"unanalysed": ("It could not.",)}, 3),
        ({"unanalysed": ("It could not.",), "findings": (never_updated(),)}, 1),
    ],
)
def test_exit_codes(run: Run, linter: types.ModuleType, format_: str, changes: dict[str, Any], code: int) -> None:
    linter.check = returns(report(**changes))  # type: ignore[attr-defined]
    assert run("check", "a.pt", "--format", format_).code == code


@pytest.mark.parametrize("format_", FORMATS)
def test_stdout_is_the_report_and_nothing_else(run: Run, linter: types.ModuleType, format_: str) -> None:
    def chatty(target: str, **arguments: Any) -> Any:
        print("a model prints this")  # noqa: T201
        arguments["progress"]("tracing")
        return full_report()

    linter.check = chatty  # type: ignore[attr-defined]
    ended = run("check", "a.pt", "--format", format_)
    assert "a model prints this" not in ended.out
    assert "a model prints this" in ended.err
    assert "\x1b" not in ended.out + ended.err
    assert f"bnlint: {full_report().unanalysed[0]}\n" in ended.err
    if format_ == "json":
        assert json.loads(ended.out)["exit_code"] == ended.code == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("There is no file x.pt.", "Did you mean y.pt?"), 2),
        (RuleFileError("own.yaml:3: unknown fact."), 2),
        (NotAnalysedError("x.pt is empty."), 3),
    ],
)
def test_errors_are_sentences(run: Run, linter: types.ModuleType, error: Exception, code: int) -> None:
    linter.check = raises(error)  # type: ignore[attr-defined]
    ended = run("check", "x.pt")
    assert (ended.code, ended.out, ended.err) == (code, "", f"bnlint: {error}\n")


@pytest.mark.parametrize("error", [ValueError("two\nlines."), SystemExit(0), RecursionError()])
def test_a_failure_of_bnlint_itself_is_one_sentence(run: Run, linter: types.ModuleType, error: BaseException) -> None:
    linter.check = raises(error)  # type: ignore[attr-defined]
    ended = run("check", "x.pt")
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith(f"bnlint itself failed: {type(error).__name__}")
    assert ended.err.endswith("; run again with --debug and report it\n")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("it broke"), UsageError("wrong")])
def test_debug_shows_the_traceback(run: Run, linter: types.ModuleType, error: Exception) -> None:
    linter.check = raises(error)  # type: ignore[attr-defined]
    ended = run("check", "x.pt", "--debug")
    assert ended.code == 2
    assert "Traceback (most recent call last)" in ended.err
    assert "in function" in ended.err


def test_an_interrupt_ends_with_130(run: Run, linter: types.ModuleType) -> None:
    linter.check = raises(KeyboardInterrupt())  # type: ignore[attr-defined]
    ended = run("check", "x.pt")
    assert (ended.code, ended.out, ended.err) == (130, "", "bnlint: interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chek", "x.pt"], "Did you mean 'check'?"),
        (["check", "x.pt", "--wieghts", "y"], "--weights"),
        (["check", "x.pt", "--format", "xml"], "'full', 'concise', 'json'"),
        (["check", "x.pt", "--batch-size", "0"], "--batch-size"),
        (["check", "x.pt", "--kwargs", "[1, 2]"], "--kwargs is no mapping"),
        (["check", "x.pt", "--kwargs", "{a: ["], "--kwargs:1: not valid YAML"),
        (["check"], "TARGET"),
        (["--nothing"], "--nothing"),
    ],
)
def test_wrong_usage_exits_with_2(run: Run, arguments: list[str], says: str) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert "Traceback" not in ended.err


class Terminal:
    """A stderr that says it is a terminal."""

    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None:
        pass


def test_long_work_shows_a_bar_on_a_terminal_and_short_work_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from bnlint.cli import progress

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress_bar() as begin:
        begin("tracing")
    assert terminal.written == ""

    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with progress.progress_bar() as begin:
        deadline = time.monotonic() + 20
        while "tracing" not in terminal.written and time.monotonic() < deadline:
            begin("tracing")
    assert "bnlint: tracing" in terminal.written
