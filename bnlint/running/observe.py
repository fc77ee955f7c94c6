"""What the user allows to be run is run on a copy, and observed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bnlint.artifacts.user_code import described
from bnlint.errors import BnlintError, NotAnalysedError, UsageError
from bnlint.interruption import pass_on
from bnlint.running.batches import with_values
from bnlint.running.copies import RunningCopy, why_not
from bnlint.running.data import batches
from bnlint.running.drift import FEWEST_SAMPLES, observe_drift
from bnlint.running.dry_run import observe_run
from bnlint.running.modes import observe_modes
from bnlint.running.observations import DataRun, DryRun, Observations, PaddingRun
from bnlint.running.padding import Padding, observe_padding
from bnlint.tracing.failure import describe
from bnlint.tracing.inputs import Inputs
from bnlint.user_objects import guarded


@dataclass(frozen=True)
class Request:
    """What may be run.

    Attributes:
        run: Whether to run the model on a copy, in both modes.
        padding: How inputs are padded; asks for a run in eval mode too.
        data: Real inputs, as for `bnlint.running.data.batches`; `None` for none.
        data_batches: How many batches of them.
        timeout: Seconds for the run, for the padding, and for the data, each.
    """

    run: bool = False
    padding: Sequence[Padding] = ()
    data: object = None
    data_batches: int = 1
    timeout: float = 60.0


def observe(
    model: nn.Module,
    request: Request,
    given: Inputs | None,
    example: Inputs | None,
    tell: Callable[[str], None],
) -> Observations:
    """Observe a copy of a model.

    Args:
        model: The model, which is not touched.
        request: What may be run.
        given: The inputs that the user gave.
        example: The inputs that the traced run accepted, for want of given ones.
        tell: Is told what is being done.

    Returns:
        What was seen. A model that cannot be run gives a note, never an exception.

    Raises:
        UsageError: If the padding or the data does not fit the inputs of the model.
        NotAnalysedError: If a data file cannot be read.
    """
    seen = _Seen(notes=[], failed=[])
    if request.run or request.padding:
        tell("running")
        seen = _run(model, request, given or example)
    data = None
    if request.data is not None:
        tell("data")
        data = _data(model, request, seen, tell)
    return Observations(observe_modes(model), seen.dry_run, seen.padding, data, tuple(seen.notes), tuple(seen.failed))


@dataclass
class _Seen:
    """What has been seen so far."""

    notes: list[str]
    failed: list[str]
    dry_run: DryRun | None = None
    padding: PaddingRun | None = None


def _run(model: nn.Module, request: Request, inputs: Inputs | None) -> _Seen:
    seen = _Seen([], [])
    obstacle = _obstacle(model) or ("" if inputs is not None else "no input is known")
    if obstacle or inputs is None:
        return _not_run(request, obstacle)
    inputs = with_values(inputs)
    if request.padding:
        try:
            seen.padding = PaddingRun(observe_padding(_copy(model, request), inputs, request.padding))
        except UsageError:
            raise
        except BaseException as error:
            pass_on(error)
            seen.failed.append(f"The padding could not be tried: {describe(error)}.")
            seen.padding = PaddingRun()
    try:
        seen.dry_run = observe_run(_copy(model, request), inputs, training_step=request.run)
    except NotAnalysedError as error:
        return _not_run(request, error.cause)
    (seen.failed if seen.dry_run.moved_in_eval is None else seen.notes).extend(seen.dry_run.notes)
    return seen


def _not_run(request: Request, why: str) -> _Seen:
    parts = ("moved_in_eval", "batch_dependence", "updates")
    reason = f"the model was not run: {why.rstrip('.')}"
    padding = PaddingRun() if request.padding else None
    return _Seen([], [f"T{reason[1:]}."], DryRun(reasons=dict.fromkeys(parts, reason)), padding)


def _data(model: nn.Module, request: Request, seen: _Seen, tell: Callable[[str], None]) -> DataRun:
    obstacle = _obstacle(model)
    if obstacle:
        seen.failed.append(f"The data could not be run: {obstacle}.")
        return DataRun()
    bytes_seen: list[torch.dtype] = []

    def inputs() -> Iterator[Inputs]:
        for batch in batches(model, request.data, request.data_batches):
            bytes_seen.extend(tensor.dtype for tensor in batch.tensors() if tensor.dtype is torch.uint8)
            yield batch

    try:
        running = _copy(model, request)
    except NotAnalysedError as error:
        seen.failed.append(f"The data could not be run: {error.cause}")
        return DataRun()
    try:
        found = observe_drift(running, inputs(), lambda number: tell(f"data, batch {number} of {request.data_batches}"))
    except BnlintError:
        raise
    except BaseException as error:
        pass_on(error)
        hint = " Convert the data to float as your preprocessing does." if bytes_seen else ""
        seen.failed.append(f"The data could not be run: {describe(error)}.{hint}")
        return DataRun()
    if running.seconds_left <= 0:
        seen.notes.append(f"The time for the data (`--timeout`) was over after {found.samples} samples.")
    if found.samples < FEWEST_SAMPLES:
        few = f"{found.samples} samples of data are too few to compare statistics with: give {FEWEST_SAMPLES} or more."
        seen.failed.append(few)
    return found


def _copy(model: nn.Module, request: Request) -> RunningCopy:
    """A copy to run.

    Raises:
        NotAnalysedError: If something of the model cannot be copied.
    """
    try:
        return RunningCopy(model, time.monotonic() + request.timeout)
    except BnlintError:
        raise
    except BaseException as error:
        pass_on(error)
        raise NotAnalysedError(f"The model cannot be copied for a run: {described(error)}.") from error


def _obstacle(model: nn.Module) -> str:
    return guarded(lambda: why_not(model), "its tensors cannot be asked what they are")
