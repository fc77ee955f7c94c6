from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import bnlint
from bnlint.cli.main import main
from tests.cli.in_process import in_this_process


@dataclass(frozen=True)
class Ended:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `bnlint` with the given arguments in this process."""

    def run_here(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["bnlint", *arguments])
        threshold = gc.get_threshold()
        with pytest.raises(SystemExit) as ended, in_this_process():
            main()
        gc.set_threshold(*threshold)  # which a process of its own would take with it
        captured = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, captured.out, captured.err)

    return run_here


@pytest.fixture
def linter(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in for `bnlint.linter`, whose functions a test sets; it records the arguments of `check`."""
    module = types.ModuleType("bnlint.linter")
    monkeypatch.setitem(sys.modules, "bnlint.linter", module)
    monkeypatch.setattr(bnlint, "linter", module, raising=False)
    return module


def returns(value: Any, calls: list[dict[str, Any]] | None = None) -> Callable[..., Any]:
    """A function that remembers its arguments and returns a value."""

    def function(target: str, **arguments: Any) -> Any:
        if calls is not None:
            calls.append({"target": target, **arguments})
        return value

    return function


def raises(error: BaseException) -> Callable[..., Any]:
    """A function that raises an exception."""

    def function(target: str, **arguments: Any) -> Any:
        raise error

    return function
