"""The proof that a graph is right: it is valid, shows the expected calls, and computes what the model computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

import bnlint
from bnlint.tracing.trace import How, Trace
from tests.models import with_plausible_statistics


class Call(NamedTuple):
    """What a test expects of one normalisation call."""

    layer: str
    kind: str = "batch_norm"
    registered: bool = True
    functional: bool = False


def block() -> nn.Sequential:
    """Three channels in, three channels out, the BatchNorm is `1`."""
    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())


def images() -> Tensor:
    """Two images of shape (3, 8, 8)."""
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def calls_of(trace: Trace) -> list[Call]:
    return [Call(call.layer, str(call.kind), call.registered, call.functional) for call in trace.norm_calls]


def prove(model: nn.Module, inputs: Any, calls: list[Call], *, how: How = How.RECORDED, complete: bool = True) -> Trace:
    """Trace a model in eval mode with varied statistics and hold the graph against the model.

    The outputs are bit-identical: the graph makes the same calls in the same order.
    """
    with_plausible_statistics(model).eval()
    trace = bnlint.trace(model, inputs)
    trace.graph.lint()
    assert trace.how is how, trace.reason
    assert calls_of(trace) == calls
    assert trace.complete is complete
    assert_same(run(trace.graph_module(), inputs), run(model, inputs))
    return trace


def run(model: nn.Module, inputs: Any) -> Any:
    """Call a model on a copy of the inputs: some models write into theirs. Random draws are the same each time."""
    own = tree_map_only(Tensor, torch.clone, inputs)
    torch.manual_seed(0)
    with torch.no_grad():
        return model(**own) if isinstance(own, Mapping) else model(*own)


def assert_same(actual: Any, expected: Any) -> None:
    """The same structure with the same tensors."""
    assert type(actual) is type(expected)
    pairs = list(zip(leaves(actual), leaves(expected), strict=True))
    assert pairs
    for one, other in pairs:
        if isinstance(other, Tensor):
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
        else:
            assert one == other


def leaves(value: Any) -> Iterator[Any]:
    if dataclasses.is_dataclass(value):
        value = vars(value)
    if isinstance(value, Mapping):
        value = [item for pair in value.items() for item in pair]
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    else:
        yield value
