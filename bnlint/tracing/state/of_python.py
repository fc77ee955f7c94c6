"""What Python itself keeps for a process."""

from __future__ import annotations

import contextlib
import gc
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, Final

from bnlint.tracing.state.entry import Entry, are_others

_SIGNALS: Final = tuple(
    int(one) for one in signal.Signals if one.name not in ("SIGKILL", "SIGSTOP") and not one.name.startswith("SIGRT")
)
_HOOKS: Final = ("excepthook", "displayhook", "unraisablehook", "breakpointhook")
_STREAMS: Final = ("stdin", "stdout", "stderr")
_LISTS: Final = ("path", "argv", "warnoptions")


def _folder() -> str | None:
    with contextlib.suppress(OSError):  # it may have been deleted
        return str(Path.cwd())
    return None


def _to_folder(folder: str | None) -> None:
    if folder is not None:
        os.chdir(folder)


def _to_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _attributes(names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(getattr(sys, name) for name in names)


def _to_attributes(names: tuple[str, ...], values: tuple[Any, ...]) -> None:
    for name, value in zip(names, values, strict=True):
        setattr(sys, name, value)


def _lists() -> list[tuple[list[str], list[str]]]:
    return [(own, list(own)) for own in _attributes(_LISTS)]


def _to_lists(before: list[tuple[list[str], list[str]]]) -> None:
    for name, (own, content) in zip(_LISTS, before, strict=True):
        own[:] = content
        setattr(sys, name, own)


def _warnings() -> tuple[Any, ...]:
    return warnings.filters, list(warnings.filters), warnings.showwarning, warnings.formatwarning


def _to_warnings(before: tuple[Any, ...]) -> None:
    filters, content, warnings.showwarning, warnings.formatwarning = before
    warnings.simplefilter("default")  # so that modules notice that filters have changed
    filters[:] = content
    warnings.filters = filters


def _signals() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}  # no other thread can set one
    return {number: signal.getsignal(number) for number in _SIGNALS}


def _to_signals(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:  # `None` was not set by Python
            signal.signal(number, handler)


def _logging() -> tuple[Any, ...]:
    root = logging.getLogger()
    return root.level, list(root.handlers), list(root.filters), root.manager.disable


def _to_logging(before: tuple[Any, ...]) -> None:
    root = logging.getLogger()
    level, root.handlers[:], root.filters[:], disabled = before
    root.setLevel(level)
    logging.disable(disabled)


def _collector() -> tuple[bool, tuple[int, int, int]]:
    return gc.isenabled(), gc.get_threshold()


def _to_collector(before: tuple[bool, tuple[int, int, int]]) -> None:
    gc.set_threshold(*before[1])
    (gc.enable if before[0] else gc.disable)()


def _to_locale(before: str) -> None:
    locale.setlocale(locale.LC_ALL, before)


ENTRIES: Final = (
    Entry("the current folder", _folder, _to_folder),
    Entry("environment variables", lambda: dict(os.environ), _to_environment),
    Entry("`sys.path` and `sys.argv`", _lists, _to_lists),
    Entry("standard streams", lambda: _attributes(_STREAMS), lambda v: _to_attributes(_STREAMS, v), are_others),
    Entry("hooks of `sys`", lambda: _attributes(_HOOKS), lambda v: _to_attributes(_HOOKS, v), are_others),
    Entry("the limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit),
    Entry("the interval of thread switches", sys.getswitchinterval, sys.setswitchinterval),
    Entry(
        "trace and profile functions", lambda: (sys.gettrace(), sys.getprofile()), lambda v: _to_tracing(*v), are_others
    ),
    Entry("filters and display of warnings", _warnings, _to_warnings),
    Entry("signal handlers", _signals, _to_signals),
    Entry("levels and handlers of the root logger", _logging, _to_logging),
    Entry("the garbage collector", _collector, _to_collector),
    Entry("the locale", lambda: locale.setlocale(locale.LC_ALL), _to_locale),
    Entry("the random state of `random`", random.getstate, random.setstate, is_random=True),
)
"""In the order of reading; the last is put back first."""


def _to_tracing(trace: Any, profile: Any) -> None:
    sys.settrace(trace)
    sys.setprofile(profile)
