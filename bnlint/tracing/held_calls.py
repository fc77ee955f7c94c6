"""The calls that a class of BatchNorm makes in code of its own, held back until it is known what the layer is.

A class may be a BatchNorm by its name alone, or inherit from one and compute something else. If it calls a
normalisation, its calls stand in the graph, and the arguments of that call decide. If it does nothing but arithmetic,
it stands there as one layer, and the arithmetic says whether it looks at the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from torch import Tensor, nn

from bnlint.norms.tensors import STATISTICS
from bnlint.tracing.autocast import State
from bnlint.tracing.emission import Emission
from bnlint.tracing.kinds import Role
from bnlint.tracing.source import Frame

_ELEMENTWISE: Final = frozenset({Role.ADDITION, Role.MULTIPLICATION, Role.ACTIVATION, Role.OTHER})
"""Roles of operators that treat each value by itself, those of role `OTHER` where the shape stays."""

_SAME_SAMPLES: Final = frozenset({
    "to", "type", "type_as", "float", "double", "half", "bfloat16", "contiguous", "clone", "detach", "view", "reshape",
    "flatten",
})  # fmt: skip
"""Operators that move values and leave the first axis where it is, if its size stays."""


class Call(NamedTuple):
    """A call of a function, as it will stand in the graph.

    Attributes:
        emission: How the function stands there.
        args: Its arguments.
        kwargs: Its keyword arguments.
        result: What it gave.
        frame: The user's line.
        autocast: The state of autocast.
    """

    emission: Emission
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    frame: Frame | None
    autocast: State


@dataclass
class HeldCalls:
    """The calls of one layer, in order.

    Attributes:
        module: The layer.
        calls: They.
    """

    module: nn.Module
    calls: list[Call] = field(default_factory=list)

    def use_the_batch(self, batch: Tensor) -> bool | None:
        """Whether arithmetic normalises by the batch at hand rather than by running statistics.

        Args:
            batch: What the layer was called with, samples along the first axis.

        Returns:
            True where values of several samples are reduced to one, false where running statistics are read and nothing
            is reduced; `None` for everything else: statistics of each sample, code of other libraries.
        """
        statistics = [getattr(self.module, name, None) for name in STATISTICS]
        channels = next((tensor.numel() for tensor in statistics if isinstance(tensor, Tensor)), 0)
        derived, by_sample = {id(batch)}, {id(batch)}
        reads_statistics = reduces = False
        for call in self.calls:
            given = [value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor)]
            reads_statistics |= any(value is tensor for value in given for tensor in statistics)
            if derived.isdisjoint(map(id, given)):
                continue
            is_reduction = call.emission.role is Role.REDUCTION
            if is_reduction and _merges_samples(call, batch, channels, id(given[0]) in by_sample):
                return True
            if not isinstance(call.result, Tensor) or not (is_reduction or _treats_each_value(call)):
                return None
            reduces |= is_reduction
            derived.add(id(call.result))
            if _keeps_samples(call, batch):
                by_sample.add(id(call.result))
        return False if reads_statistics and not reduces else None


def _merges_samples(call: Call, batch: Tensor, channels: int, by_sample: bool) -> bool:
    """Whether a reduction takes values of several samples together: one for each channel is left, or no sample axis."""
    result = call.result[0] if isinstance(call.result, tuple) and call.result else call.result
    if not isinstance(result, Tensor):
        return False
    if len(batch) > 1 and result.numel() == channels:
        return True
    dims = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else None)
    axes = dims if isinstance(dims, (tuple, list)) else (dims,)
    return by_sample and (0 in axes or -call.args[0].dim() in axes)


def _treats_each_value(call: Call) -> bool:
    """Whether no value of the result depends on more than one value of the batch."""
    role = call.emission.role
    if role is Role.MOVE:
        return True
    largest = max(value.numel() for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor))
    return role in _ELEMENTWISE and call.result.numel() == largest and "::" not in call.emission.name


def _keeps_samples(call: Call, batch: Tensor) -> bool:
    """Whether the first axis of a result is that of the samples."""
    moved = call.emission.role is Role.MOVE and call.emission.name not in _SAME_SAMPLES
    return not moved and call.result.dim() > 0 and len(call.result) == len(batch)
