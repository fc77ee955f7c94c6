"""One dry run: eval mode first, then one training step, on a copy of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from bnlint.interruption import pass_on
from bnlint.norms.tensors import COUNTER, STATISTICS
from bnlint.running.batch_dependence import CannotTell, observe_batch_dependence
from bnlint.running.batches import at_least_two
from bnlint.running.copies import RunningCopy
from bnlint.running.observations import DryRun
from bnlint.tracing.failure import describe
from bnlint.tracing.inputs import Inputs
from bnlint.user_objects import attribute

T = TypeVar("T")

_SUBJECTS = {
    "moved_in_eval": "the statistics in eval mode",
    "batch_dependence": "batch dependence",
    "updates": "a training step",
}


def observe_run(running: RunningCopy, inputs: Inputs, training_step: bool) -> DryRun:
    """What a forward in eval mode and a training step do to the statistics, and to the samples of a batch.

    Args:
        running: The copy; its mode and its gradients are changed.
        inputs: Inputs with values.
        training_step: Whether to make a training step, which takes as much memory as training.

    Returns:
        What was seen; a run that fails leaves `None` and a reason.
    """
    reasons: dict[str, str] = {}
    with running.state_kept():
        moved = _try(reasons, "moved_in_eval", lambda: _moved_in_eval(running, inputs))
        mixed = None
        if moved is not None:
            mixed = _try(reasons, "batch_dependence", lambda: observe_batch_dependence(running, inputs))
        updates = None
        if training_step:
            updates = _try(reasons, "updates", lambda: _updates(running, at_least_two(inputs)))
    if moved is None:
        reasons["batch_dependence"] = reasons["moved_in_eval"]  # the same run, which need not fail twice
    return DryRun(moved, updates, mixed, reasons)


def _try(reasons: dict[str, str], name: str, observe: Callable[[], T]) -> T | None:
    try:
        return observe()
    except CannotTell as reason:
        why = str(reason)
    except BaseException as error:
        pass_on(error)
        why = describe(error)
    reasons[name] = f"{_SUBJECTS[name]} could not be observed: {why}"
    return None


def _moved_in_eval(running: RunningCopy, inputs: Inputs) -> dict[str, bool]:
    running.module.eval()
    before = {path: [tensor.clone() for tensor in statistics] for path, statistics in _statistics(running)}
    running.run(inputs)
    after = dict(_statistics(running))
    return {
        path: not all(_same(one, two) for one, two in zip(tensors, after.get(path, []), strict=False))
        for path, tensors in before.items()
    }


def _same(one: Tensor, two: Tensor) -> bool:
    return one.shape == two.shape and torch.equal(one.nan_to_num(), two.nan_to_num())


def _statistics(running: RunningCopy) -> Iterator[tuple[str, list[Tensor]]]:
    for path, module in running.modules().items():
        values = [attribute(module, name) for name in STATISTICS]
        tensors = [value for value in values if isinstance(value, Tensor)]
        if tensors:
            yield path, tensors


def _updates(running: RunningCopy, inputs: Inputs) -> dict[str, int]:
    """How far one forward and backward moves each `num_batches_tracked`: gradient checkpointing runs forward again."""
    running.module.train()
    running.restore()
    before = dict(_counters(running))
    with torch.enable_grad():
        outputs = running.run_with_gradients(inputs)
        losses = [tensor.sum() for tensor in outputs if tensor.requires_grad]
        if losses:
            running.backward(torch.stack([loss.double() for loss in losses]).sum())
    return {path: count - before[path] for path, count in _counters(running) if path in before}


def _counters(running: RunningCopy) -> Iterator[tuple[str, int]]:
    for path, module in running.modules().items():
        counter = attribute(module, COUNTER)
        if isinstance(counter, Tensor):
            yield path, int(counter)
