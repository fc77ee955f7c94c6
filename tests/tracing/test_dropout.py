"""What each call drops at random, by its arguments or by its module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

import bnlint
from bnlint.tracing.dropout import Dropout, dropout_of
from bnlint.tracing.kinds import Role
from bnlint.tracing.trace import Trace

ROLES = (Role.DROPOUT, Role.ATTENTION)


class Drops(nn.Module):
    """Drops in the way under test, between two linear layers."""

    def __init__(self, drop: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(8, 8), drop, nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(self.first(x)))


def the_dropout(trace: Trace) -> Dropout | None:
    (node,) = [node for node in trace.graph.nodes if node.meta["role"] in ROLES]
    return dropout_of(node, trace.attributes)


def attention(x: Tensor, **arguments: Any) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, **arguments)


FUNCTIONS = [
    ("by default", F.dropout, 0.5, True, True),
    ("by position", lambda x: F.dropout(x, 0.2, False), 0.2, False, True),
    ("by name", lambda x: F.dropout(x, training=False, p=0.3), 0.3, False, True),
    ("of torch", lambda x: torch.dropout(x, 0.4, True), 0.4, True, True),
    ("of torch by name", lambda x: torch.dropout(x, p=0.4, train=False), 0.4, False, True),
    ("of channels", lambda x: F.dropout1d(x, 0.1), 0.1, True, True),
    ("of nothing", lambda x: F.dropout(x, 0.0), 0.0, True, True),
    ("alpha, off by default", F.alpha_dropout, 0.5, False, False),
    ("alpha, on", lambda x: F.alpha_dropout(x, 0.2, True), 0.2, True, False),
    ("attention", lambda x: attention(x, dropout_p=0.1), 0.1, True, False),
    ("attention by position", lambda x: F.scaled_dot_product_attention(x, x, x, None, 0.1), 0.1, True, False),
    ("attention without", attention, 0.0, True, False),
]


@pytest.mark.parametrize("exported", [False, True], ids=["recorded", "exported"])
@pytest.mark.parametrize(
    ("drop", "probability", "training", "changes"),
    [case[1:] for case in FUNCTIONS],
    ids=[case[0] for case in FUNCTIONS],
)
def test_a_function_drops_by_its_arguments(
    drop: Callable[[Tensor], Tensor], probability: float, training: bool, changes: bool, exported: bool
) -> None:
    model, x = Drops(drop).eval(), torch.randn(2, 4, 8)
    found = the_dropout(bnlint.trace(torch.export.export(model, (x,)) if exported else model, (x,)))
    assert found == Dropout(probability, training, of_a_function=True, changes_variance=changes)


MODULES = [
    (nn.Dropout(0.2), 0.2, True),
    (nn.Dropout1d(0.3), 0.3, True),
    (nn.AlphaDropout(0.2), 0.2, False),
    (nn.FeatureAlphaDropout(0.2), 0.2, False),
    (nn.Dropout(0.0), 0.0, True),
]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "training"])
@pytest.mark.parametrize(("module", "probability", "changes"), MODULES, ids=lambda value: type(value).__name__)
def test_a_module_drops_by_its_mode(module: nn.Module, probability: float, changes: bool, training: bool) -> None:
    found = the_dropout(bnlint.trace(Drops(module).train(training), (torch.randn(2, 4, 8),)))
    assert found == Dropout(probability, training, of_a_function=False, changes_variance=changes)
    assert found.active is (training and probability > 0)


def test_attention_layers_have_a_dropout_of_their_own() -> None:
    class SelfAttention(nn.MultiheadAttention):
        pass

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = SelfAttention(8, 2, dropout=0.1, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x)[0]

    found = the_dropout(bnlint.trace(Model().train(), (torch.randn(2, 4, 8),)))
    assert found == Dropout(0.1, True, of_a_function=False, changes_variance=False)


def test_other_calls_drop_nothing() -> None:
    trace = bnlint.trace(Drops(nn.ReLU()), (torch.randn(2, 8),))
    assert [dropout_of(node, trace.attributes) for node in trace.graph.nodes] == [None] * len(list(trace.graph.nodes))


def test_a_probability_that_is_computed_counts_as_one() -> None:
    graph = fx.Graph()
    x, probability = graph.placeholder("x"), graph.placeholder("p")
    node = graph.call_function(F.dropout, (x, probability))
    node.meta["role"] = Role.DROPOUT
    found = dropout_of(node, {})
    assert found is not None
    assert found.probability == 1.0


@pytest.mark.parametrize(("function", "training"), [(F.dropout, True), (F.alpha_dropout, False)])
def test_defaults_where_a_graph_leaves_them_out(function: Callable[[Tensor], Tensor], training: bool) -> None:
    graph = fx.Graph()
    node = graph.call_function(function, (graph.placeholder("x"),))
    node.meta["role"] = Role.DROPOUT
    found = dropout_of(node, {})
    assert found is not None
    assert (found.probability, found.training) == (0.5, training)


def test_stochastic_depth_drops_branches() -> None:
    graph = fx.Graph()
    node = graph.call_module("drop", (graph.placeholder("x"),))
    node.meta["role"] = Role.DROPOUT
    drop_path = nn.Identity()
    drop_path.drop_prob = 0.1  # type: ignore[assignment]
    found = dropout_of(node, {"drop": drop_path})
    assert found == Dropout(0.1, True, of_a_function=False, changes_variance=False)
