"""Whatever a forward does to the process, afterwards it is as it was, also where the forward raises."""

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
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

import bnlint
from bnlint.tracing.process_state import ENTRIES, process_state_kept
from tests.tracing.proof import block, images

_LEFT_ON: list[Any] = []
"""Contexts that were entered and are not left: when they are deleted some put back by themselves what they changed."""


def _enter(context: Any) -> None:
    context.__enter__()
    _LEFT_ON.append(context)


def _shown(*_: Any, **__: Any) -> None:
    pass


def _seed() -> None:
    torch.manual_seed(7)
    torch.rand(3)


def _warn() -> None:
    warnings.simplefilter("error")
    warnings.showwarning = _shown


def _log() -> None:
    logging.getLogger().setLevel(logging.CRITICAL)
    logging.getLogger().addHandler(logging.NullHandler())
    logging.disable(logging.ERROR)


def _environ() -> None:
    os.environ["BNLINT_TEST"] = "1"
    os.environ.pop("PATH", None)


def _autocast_state() -> Any:
    return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")


def _cudnn() -> None:
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic = not torch.backends.cudnn.deterministic
    torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32


def _cudnn_state() -> Any:
    cudnn = torch.backends.cudnn
    return cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32


def _numpy_random() -> Any:
    kind, keys, position, *_ = numpy.random.get_state()
    return kind, keys.tolist(), position


_OTHER_LOCALE = "C" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8"

CHANGES: dict[str, tuple[Callable[[], object], Callable[[], Any]]] = {
    "the current folder": (lambda: os.chdir("/"), Path.cwd),
    "environment variables": (_environ, lambda: dict(os.environ)),
    "`sys.path` and `sys.argv`": (
        lambda: (sys.path.insert(0, "/nowhere"), setattr(sys, "argv", ["other"])),
        lambda: (id(sys.path), list(sys.path), list(sys.argv)),
    ),
    "standard streams": (lambda: setattr(sys, "stderr", None), lambda: (id(sys.stdin), id(sys.stdout), id(sys.stderr))),
    "hooks of `sys`": (lambda: setattr(sys, "excepthook", _shown), lambda: sys.excepthook),
    "the limit of recursion": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "the interval of thread switches": (lambda: sys.setswitchinterval(0.5), sys.getswitchinterval),
    "trace and profile functions": (lambda: sys.setprofile(_shown), sys.getprofile),
    "filters and display of warnings": (_warn, lambda: (list(warnings.filters), warnings.showwarning)),
    "signal handlers": (lambda: signal.signal(signal.SIGUSR1, _shown), lambda: signal.getsignal(signal.SIGUSR1)),
    "levels and handlers of the root logger": (
        _log,
        lambda: (logging.getLogger().level, list(logging.getLogger().handlers), logging.getLogger().manager.disable),
    ),
    "the garbage collector": (gc.disable, gc.isenabled),
    "the locale": (lambda: locale.setlocale(locale.LC_ALL, _OTHER_LOCALE), lambda: locale.setlocale(locale.LC_ALL)),
    "the random state of `random`": (random.random, random.getstate),
    "numpy's handling of errors": (lambda: numpy.seterr(all="raise"), numpy.geterr),
    "numpy's handler of errors": (lambda: numpy.seterrcall(_shown), numpy.geterrcall),
    "numpy's print options": (lambda: numpy.set_printoptions(precision=1), numpy.get_printoptions),
    "the random state of `numpy.random`": (numpy.random.rand, _numpy_random),
    "the default data type": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "the number of threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "deterministic algorithms": (
        lambda: torch._C._set_deterministic_algorithms(True, warn_only=True),
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
    ),
    "settings of cuDNN": (_cudnn, _cudnn_state),
    "the precision of float32 products": (
        lambda: torch.set_float32_matmul_precision("medium"),
        torch.get_float32_matmul_precision,
    ),
    "whether warnings are repeated": (lambda: torch.set_warn_always(True), torch.is_warn_always_enabled),
    "print options": (lambda: torch.set_printoptions(precision=1), lambda: repr(torch.tensor(1 / 3))),
    "hooks on all modules": (
        lambda: nn.modules.module.register_module_forward_hook(_shown),
        lambda: len(nn.modules.module._global_forward_hooks),
    ),
    "the detection of anomalies": (lambda: torch.set_anomaly_enabled(True), torch.is_anomaly_enabled),
    "autocast": (lambda: _enter(torch.autocast("cpu", torch.float16)), _autocast_state),
    "the cache of autocast": (lambda: torch.set_autocast_cache_enabled(False), torch.is_autocast_cache_enabled),
    "the depth of autocast": (
        torch.autocast_increment_nesting,
        lambda: (torch.autocast_increment_nesting(), torch.autocast_decrement_nesting())[0],
    ),
    "the random state of torch": (_seed, lambda: torch.get_rng_state().tolist()),
    "gradients": (lambda: torch.set_grad_enabled(not torch.is_grad_enabled()), torch.is_grad_enabled),
    "inference mode": (lambda: _enter(torch.inference_mode()), torch.is_inference_mode_enabled),
    "the default device": (lambda: torch.set_default_device("meta"), torch.get_default_device),
    "modes of dispatch": (lambda: _enter(TorchDispatchMode()), lambda: len(_get_current_dispatch_mode_stack())),
    "modes of torch's functions": (lambda: _enter(TorchFunctionMode()), torch._C._len_torch_function_stack),
}  # fmt: skip
"""By name of the entry: what changes it, and what shows it."""

UNTRIED = {
    "the number of threads between operations": "torch takes it once in a process, and never back",
    "the random states of GPUs": "no GPU",
}


class Changes(nn.Module):
    """Changes the process in its forward."""

    def __init__(self, change: Callable[[], object], raises: bool) -> None:
        super().__init__()
        self.change, self.raises = change, raises
        self.block = block()

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        self.change()
        if self.raises:
            raise RuntimeError("and then it fails")
        return x


def test_there_is_a_case_for_each_entry() -> None:
    assert {entry.name for entry in ENTRIES} == CHANGES.keys() | UNTRIED.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_put_back(name: str) -> None:
    change, look = CHANGES[name]
    before = look()
    with pytest.raises(RuntimeError, match="enough"), process_state_kept():  # noqa: PT012
        change()
        assert look() != before
        raise RuntimeError("enough")
    assert look() == before


@pytest.mark.parametrize("raises", [False, True], ids=["ends", "raises"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_a_forward_changes_is_put_back(name: str, raises: bool) -> None:
    change, look = CHANGES[name]
    model = Changes(change, raises).eval()
    before = look()
    bnlint.trace(model, (images(),))
    assert look() == before


LOOKS: dict[str, Callable[[nn.Module], object]] = {
    "check": lambda model: bnlint.check(model, inputs=(images(),)),
    "run": lambda model: bnlint.check(model, inputs=(images(),), run=True, data=[images()] * 2, padding="3"),
    "inspect": bnlint.inspect,
    "fold": lambda model: bnlint.fold(model, (images(),), force=True),
}


@pytest.mark.parametrize("raises", [False, True], ids=["ends", "raises"])
@pytest.mark.parametrize("look", LOOKS)
def test_all_at_once_is_put_back_whatever_is_asked(look: str, raises: bool) -> None:
    def everything() -> None:
        for change, _ in CHANGES.values():
            change()

    model = Changes(everything, raises).eval()
    before = {name: show() for name, (_, show) in CHANGES.items()}
    with contextlib.suppress(bnlint.NotAnalysedError):  # a fold of what cannot be run
        LOOKS[look](model)
    assert {name: show() for name, (_, show) in CHANGES.items()} == before


def test_an_import_string_leaves_the_process_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
        import logging, os, random, sys
        import torch
        from torch import nn

        os.environ["BNLINT_TEST"] = "1"
        os.chdir("/")
        sys.path.insert(0, "/nowhere")
        torch.set_default_dtype(torch.float64)

        def build():
            torch.manual_seed(7)
            logging.getLogger().setLevel(logging.CRITICAL)
            return nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
        """
    (tmp_path / "changes_the_process.py").write_text("\n".join(line[8:] for line in source.splitlines()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = {name: show() for name, (_, show) in CHANGES.items()}
    assert bnlint.check("changes_the_process:build").coverage.layers == 1
    assert {name: show() for name, (_, show) in CHANGES.items()} == before


def test_other_threads_put_back_what_is_theirs() -> None:
    seen = []

    def look() -> None:
        before = torch.is_grad_enabled(), random.getstate()
        bnlint.trace(Changes(lambda: (torch.set_grad_enabled(False), random.random()), raises=False), (images(),))
        seen.append((torch.is_grad_enabled(), random.getstate()) == before)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [True]


def test_a_handler_that_was_not_set_by_python_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    with process_state_kept():
        pass
    monkeypatch.undo()
    assert callable(signal.getsignal(signal.SIGINT))


def test_it_costs_less_than_the_smallest_trace() -> None:
    def seconds(what: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            what()
            times.append(time.perf_counter() - start)
        return min(times)

    def keep() -> None:
        with process_state_kept():
            pass

    model = nn.Sequential(block(), block(), block()).eval()
    assert seconds(keep) < seconds(lambda: bnlint.trace(model, (images(),))) / 4
