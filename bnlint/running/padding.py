"""Do padded steps enter the statistics of a normalisation layer? Asked of each layer by itself.

The model runs on one sample, once as it is and once with padding at its end. A layer whose input has grown is then
called twice by itself: on all steps, and on the real steps alone. Where its output for the real steps differs, the
padded ones have entered its statistics. What came before the layer plays no part, so that the border of a convolution,
which sees the padding rightly, is no fault.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from bnlint.errors import UsageError
from bnlint.norms.classes import is_frozen_batch_norm, norm_kind
from bnlint.running.batch_dependence import TOLERANCES, differs
from bnlint.running.batches import batch_axis_unknown, mapped
from bnlint.running.copies import RunningCopy, float_tensors
from bnlint.tracing.graph_builder import argument_names
from bnlint.tracing.inputs import Inputs

_SPECIFICATION = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<axis>\d{1,2})(?::(?P<value>-?\d{1,30}(?:\.\d{1,30})?))?")
_SHARE = 2
"""One padded step for so many real ones."""


@dataclass(frozen=True)
class Padding:
    """How an input is padded.

    Attributes:
        name: The input, by its name in `forward`; empty for the first.
        axis: The axis of the steps.
        value: What a padded step holds.
    """

    name: str
    axis: int
    value: float = 0.0


def as_padding(text: str) -> Padding:
    """Read `AXIS`, `AXIS:VALUE`, `NAME=AXIS` or `NAME=AXIS:VALUE`.

    Raises:
        UsageError: If the text is none of these.
    """
    match = _SPECIFICATION.fullmatch(text.strip())
    if match is None:
        cause = f"{text!r} does not say how an input is padded."
        raise UsageError(cause, "Write the axis of the steps, such as 1, input_ids=1:0 or attention_mask=1:0.")
    return Padding(match["name"] or "", int(match["axis"]), float(match["value"] or 0))


def padded(model: nn.Module, inputs: Inputs, paddings: Sequence[Padding]) -> Inputs:
    """The inputs with padded steps at the end.

    Args:
        model: The model, for the names of its inputs.
        inputs: The inputs.
        paddings: How they are padded; an input without one stays as it is.

    Raises:
        UsageError: If an input or an axis does not exist.
    """
    names = argument_names(model, len(inputs.args))
    args, kwargs = dict(zip(names, inputs.args, strict=True)), dict(inputs.kwargs)
    for padding in paddings:
        name = padding.name or next(iter((*args, *kwargs)), "")
        group = args if name in args else kwargs
        value = group.get(name)
        if not isinstance(value, Tensor):
            raise UsageError(f"There is no input {name!r} to pad.", f"The inputs are {', '.join((*args, *kwargs))}.")
        if padding.axis >= value.dim():
            raise UsageError(f"Input {name!r} has {value.dim()} axes, so axis {padding.axis} cannot be padded.")
        group[name] = _longer(value, padding)
    return Inputs(tuple(args.values()), kwargs, inputs.assumed)


def _longer(tensor: Tensor, padding: Padding) -> Tensor:
    shape = list(tensor.shape)
    shape[padding.axis] = max(1, shape[padding.axis] // _SHARE)
    return torch.cat([tensor, tensor.new_full(shape, padding.value)], padding.axis)


def observe_padding(running: RunningCopy, inputs: Inputs, paddings: Sequence[Padding]) -> Mapping[str, bool | None]:
    """Whether padded steps enter the statistics that a layer computes from the values at hand.

    A BatchNorm is asked in training mode, where it computes statistics, and every other layer as it is.

    Args:
        running: The copy; it is set to eval mode.
        inputs: Inputs with values; the first sample is used where there is an axis of samples, and all else.
        paddings: How the user says that inputs are padded.

    Returns:
        The answer for each normalisation layer that was called, `None` where it cannot be told. A layer whose input is
        as long as before does not see the padding.

    Raises:
        UsageError: If an input or an axis does not exist.
    """
    whole = batch_axis_unknown(running.module, inputs)
    sample = inputs if whole else mapped(lambda tensor: tensor[:1], inputs)
    longer = padded(running.module, sample, paddings)
    with running.state_kept():
        running.module.eval()
        with _calls(running) as without:
            running.run(sample)
        with _calls(running) as with_padding:
            running.run(longer)
    if [call.path for call in without] != [call.path for call in with_padding]:
        return dict.fromkeys(call.path for call in without)
    answers: dict[str, bool | None] = {}
    tolerance = TOLERANCES.get(running.dtype, 2e-2)
    for before, after in zip(without, with_padding, strict=True):
        answer = _enters(running.modules()[before.path], before, after, tolerance)
        known = answers.get(before.path, False)
        answers[before.path] = True if answer or known else None if answer is None or known is None else False
    return answers


@dataclass(frozen=True)
class _Call:
    path: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def shape(self) -> torch.Size | None:
        return next((tensor.shape for tensor in float_tensors((self.args, dict(self.kwargs)))), None)


@contextmanager
def _calls(running: RunningCopy) -> Iterator[list[_Call]]:
    """The calls of normalisation layers, with copies of what they are given."""
    seen: list[_Call] = []
    handles = []
    for path, module in running.modules().items():
        if norm_kind(module) is None:
            continue

        def keep(_: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
            args, kwargs = tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), (args, kwargs))
            seen.append(_Call(path, args, kwargs))

        handles.append(module.register_forward_pre_hook(keep, with_kwargs=True))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _enters(layer: nn.Module, before: _Call, after: _Call, tolerance: float) -> bool | None:
    """Whether the output of a layer for the real steps changes with the padded ones; `None` if it cannot be told."""
    short, long = before.shape, after.shape
    if short is None or long is None or len(short) != len(long):
        return None
    grown = [axis for axis, (one, two) in enumerate(zip(short, long, strict=True)) if one != two]
    if not grown:
        return False
    axis = grown[0]
    if len(grown) > 1 or long[axis] < short[axis]:
        return None

    def real(tensor: Tensor) -> Tensor:
        """The real steps; a mask that comes with the values is as long as they are."""
        fitting = [number for number, size in enumerate(tensor.shape) if size == long[axis]]
        where = axis if axis in fitting else next(iter(fitting), None)
        return tensor if where is None else tensor.narrow(where, 0, short[axis])

    alone = copy.deepcopy(layer)
    for hooks in (alone._forward_hooks, alone._forward_pre_hooks):
        hooks.clear()
    alone.train(not is_frozen_batch_norm(alone))
    args, kwargs = tree_map_only(Tensor, real, (after.args, dict(after.kwargs)))
    try:
        with torch.no_grad():
            everything = float_tensors(alone(*after.args, **after.kwargs))
            only_real = float_tensors(alone(*args, **kwargs))
    except Exception:  # a layer that refuses so few steps
        return None
    return differs([real(tensor) for tensor in everything], only_real, tolerance)
