"""What bnlint, `torch.fx.symbolic_trace` and `torch.export` see of one model, and at what cost."""

from __future__ import annotations

import contextlib
import gc
import io
import signal
import time
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.utils._pytree import tree_map_only

import bnlint
from benchmarks.public_models import batch_norms
from benchmarks.resident import forget_peak, peak, resident
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.trace import Trace


@dataclass(frozen=True)
class Cost:
    """What a piece of work took.

    Attributes:
        wall: Seconds on the clock.
        cpu: Seconds of processor time, which other processes on the machine disturb less.
        before: Resident bytes of the process when it began.
        grown: Bytes by which resident memory rose above that, at its peak.
    """

    wall: float
    cpu: float
    before: int
    grown: int


@dataclass(frozen=True)
class Look:
    """BatchNorm layers that one tracer saw; `error` names what stopped it."""

    seen: int
    wall: float
    error: str = ""


class _TooLong(BaseException):
    """The tracer was given up; not an `Exception`, which the tracer itself would catch."""


def measured(work: Callable[[], Trace]) -> tuple[Trace, Cost]:
    """Does a piece of work once and says what it took."""
    gc.collect()
    forget_peak()
    before, cpu, wall = resident(), time.process_time(), time.perf_counter()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result, Cost(wall, cpu, before, max(0, peak() - before))


def lint_error(trace: Trace) -> str:
    """Why the graph is no valid `torch.fx` graph of attributes that exist; empty if it is."""
    try:
        trace.graph.lint()
        trace.graph_module().graph.lint()
    except Exception as error:
        return type(error).__name__
    return ""


def look_symbolic(model: nn.Module) -> Look:
    """`torch.fx.symbolic_trace` with its own defaults."""
    return _look(lambda: _layers_of_fx(fx.symbolic_trace(model).graph, model), limit=60)


def look_export(model: nn.Module, example: Inputs | None, limit: int) -> Look:
    """Non-strict `torch.export` with the inputs of bnlint's run.

    Args:
        model: The model, with its parameters on the meta device or in CPU memory.
        example: `Trace.example`, of meta tensors.
        limit: Seconds after which it is given up.
    """
    if example is None:
        return Look(0, 0.0, "no inputs known")
    args, kwargs = (example.args, dict(example.kwargs))
    if not next(model.parameters()).is_meta:
        args, kwargs = tree_map_only(torch.Tensor, _zeros_like, (args, kwargs))
    return _look(lambda: _layers_of_export(torch.export.export(model, args, kwargs, strict=False), model), limit)


def _zeros_like(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype)


def _look(layers: Callable[[], frozenset[str]], limit: int) -> Look:
    start = time.perf_counter()
    try:
        with _time_limit(limit), _quiet(), torch.no_grad():
            seen = len(layers())
    except (Exception, SystemExit, _TooLong) as error:
        name = "too long" if isinstance(error, _TooLong) else type(error).__name__
        return Look(0, time.perf_counter() - start, name)
    return Look(seen, time.perf_counter() - start)


def _layers_of_fx(graph: fx.Graph, model: nn.Module) -> frozenset[str]:
    """BatchNorm layers that a graph calls, or whose running mean or scale it reads."""
    seen = set()
    for node in graph.nodes:
        if node.op == "call_module":
            seen.add(str(node.target))
        elif node.op == "get_attr" and str(node.target).endswith((".running_mean", ".weight")):
            seen.add(str(node.target).rpartition(".")[0])
    return batch_norms(model) & seen


def _layers_of_export(program: torch.export.ExportedProgram, model: nn.Module) -> frozenset[str]:
    """BatchNorm layers whose running mean or scale an operator of the program reads."""
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    used = (names.get(node.name, "") for node in program.graph.nodes if node.op == "placeholder" and node.users)
    return batch_norms(model) & {name.rpartition(".")[0] for name in used}


@contextlib.contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    def give_up(_: int, __: types.FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def warm_up() -> None:
    """Lets first-time costs of the process (imports, kernels of the meta device) pass before anything is timed."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()).eval()
    bnlint.trace(model)
    fx.symbolic_trace(model)
    look_export(model, bnlint.trace(model).example, 60)
