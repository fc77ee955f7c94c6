"""Finds the folds that hold only for the rank of inputs that bnlint assumed.

`nn.Linear` puts its features last, `nn.BatchNorm1d` takes its channels from axis 1. On (N, C) these are one axis; on
(N, C, F), which the same layers may take as well, they are two, and a fold of one into the other is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnlint.folding.plan import Plan
from bnlint.folding.planner import make_plan
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.kinds import How
from bnlint.tracing.live import submodule
from bnlint.tracing.record import record
from bnlint.tracing.trace import Trace

_REASON = (
    "folding it is right for the assumed input, not for one of rank 3 ({}) that the model takes too: give `--input`"
)


def folds_of_assumed_rank(model: nn.Module, trace: Trace, plan: Plan, timeout: float) -> Mapping[str, tuple[str, ...]]:
    """The folds that would be others, or none, with an axis of positions in the inputs.

    Args:
        model: The model; it is not changed.
        trace: Its trace.
        plan: What could be folded on it.
        timeout: Seconds for each further run.

    Returns:
        Path of each such BatchNorm to the reason, as a template and its names. Empty where the user gave the inputs,
        where these are not rows of features, (N, F), or where the model takes nothing else.
    """
    example = trace.example
    if not trace.inputs_assumed or example is None or not _are_rows(example):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for size in _sizes(model, plan):
        longer = _with_positions(example, size)
        run = record(model, longer, values=trace.how is How.RECORDED_WITH_VALUES, timeout=timeout)
        if run.error is not None:
            continue
        other = replace(
            trace, graph=run.graph, norm_calls=run.norm_calls, attributes=run.attributes, complete=run.unexplained == 0
        )
        same = {(fold.layer, fold.into) for fold in make_plan(model, other).folds}
        for fold in plan.folds:
            if (fold.layer, fold.into) not in same:
                found.setdefault(fold.layer, (_REASON, str(longer)))
    return found


def _are_rows(inputs: Inputs) -> bool:
    tensors = inputs.tensors()
    return bool(tensors) and all(tensor.dim() == 2 and tensor.is_floating_point() for tensor in tensors)


def _sizes(model: nn.Module, plan: Plan) -> Iterator[int]:
    """Each number of channels among the folded layers: as many positions pass for channels."""
    layers = (submodule(model, fold.layer) for fold in plan.folds)
    yield from dict.fromkeys(layer.num_features for layer in layers if isinstance(layer, _BatchNorm))


def _with_positions(inputs: Inputs, size: int) -> Inputs:
    def longer(value: object) -> object:
        if isinstance(value, list):
            return [longer(item) for item in value]
        if not isinstance(value, torch.Tensor):
            return value
        rows, features = value.shape
        return torch.empty((rows, size, features), dtype=value.dtype, device="meta")

    return Inputs(tuple(longer(value) for value in inputs.args), inputs.kwargs, inputs.assumed)
