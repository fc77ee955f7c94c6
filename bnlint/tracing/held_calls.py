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

    def use_the_batch(self, batch: Tensor, result: object) -> bool | None:
        """Whether arithmetic normalises by the batch at hand rather than by running statistics.

        Args:
            batch: What the layer was called with, samples along the first axis.
            result: What it gave.

        Returns:
            True where values of several samples are reduced to one that the result depends on, false where running
            statistics are read and nothing of the kind is done; `None` for everything else: statistics of each sample,
            code of other libraries.
        """
        statistics = [getattr(self.module, name, None) for name in STATISTICS]
        channels = next((tensor.numel() for tensor in statistics if isinstance(tensor, Tensor)), 0)
        seen = {id(batch): _Origin(by_sample=True)}
        reads_statistics = False
        for call in self.calls:
            given = [value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor)]
            reads_statistics |= any(value is tensor for value in given for tensor in statistics)
            origins = [seen[id(value)] for value in given if id(value) in seen]
            if not origins:
                continue
            made = _made(call, given)
            origin = _origin(call, made, origins, batch, channels)
            # What is written into the statistics is for the calls to come.
            seen.update({id(value): origin for value in made if not any(value is tensor for tensor in statistics)})
        found = seen.get(id(result))
        if found is None or found.unclear or found.merged:
            return True if found is not None and found.merged else None
        return False if reads_statistics else None


class _Origin(NamedTuple):
    """What a value has of the batch.

    Attributes:
        merged: Whether values of several samples were reduced to one on the way.
        unclear: Whether values of the batch were mixed otherwise, by what is not known or within a sample.
        by_sample: Whether its first axis is that of the samples.
    """

    merged: bool = False
    unclear: bool = False
    by_sample: bool = False


def _origin(call: Call, made: list[Tensor], origins: list[_Origin], batch: Tensor, channels: int) -> _Origin:
    is_reduction = call.emission.role is Role.REDUCTION
    merges = is_reduction and _merges_samples(call, made, batch, channels, origins[0].by_sample)
    mixes = is_reduction or not _treats_each_value(call, made)
    return _Origin(
        merged=merges or any(origin.merged for origin in origins),
        unclear=mixes or any(origin.unclear for origin in origins),
        by_sample=_keeps_samples(call, made, batch) and any(origin.by_sample for origin in origins),
    )


def _made(call: Call, given: list[Tensor]) -> list[Tensor]:
    """The tensors that a call gave, or wrote into."""
    results = call.result if isinstance(call.result, (tuple, list)) else [call.result]
    tensors = [value for value in results if isinstance(value, Tensor)]
    return tensors if tensors or not call.emission.writes else given[:1]


def _merges_samples(call: Call, made: list[Tensor], batch: Tensor, channels: int, by_sample: bool) -> bool:
    """Whether a reduction takes values of several samples together: one for each channel is left, or no sample axis."""
    if made and len(batch) > 1 and made[0].numel() == channels:
        return True
    dims = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else None)
    axes = dims if isinstance(dims, (tuple, list)) else (dims,)
    return by_sample and (0 in axes or -call.args[0].dim() in axes)


def _treats_each_value(call: Call, made: list[Tensor]) -> bool:
    """Whether no value of the result depends on more than one value of the batch."""
    role = call.emission.role
    if role is Role.MOVE:
        return True
    largest = max(value.numel() for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor))
    plain = role in _ELEMENTWISE and "::" not in call.emission.name
    return plain and len(made) == 1 and made[0].numel() == largest


def _keeps_samples(call: Call, made: list[Tensor], batch: Tensor) -> bool:
    """Whether the first axis of a result is that of the samples."""
    moved = call.emission.role is Role.MOVE and call.emission.name not in _SAME_SAMPLES
    return not moved and len(made) == 1 and made[0].dim() > 0 and len(made[0]) == len(batch)
