"""Whatever holds a part of a model: a look runs no part of the user's own, changes none, and sees what is there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._pytree import tree_leaves

import bnlint
from bnlint.errors import NotAnalysedError
from tests.tracing import caches
from tests.tracing.caches import CACHES
from tests.tracing.snapshot import describe, snapshot
from tests.tracing.ways import HOLDERS, WAYS, Caller, network

IMAGES = torch.linspace(-1, 1, 96).reshape(2, 3, 4, 4)
LOOKS: dict[str, Callable[[nn.Module], Any]] = {
    "check with values": lambda model: bnlint.check(model, inputs=(IMAGES,)),
    "check with a shape": lambda model: bnlint.check(model, inputs="2x3x4x4"),
    "check with a run": lambda model: bnlint.check(model, inputs=(IMAGES,), run=True),
    "trace": lambda model: bnlint.trace(model, (IMAGES,)),
    "inspect": lambda model: bnlint.inspect(model, inputs=(IMAGES,)),
    "plan": lambda model: bnlint.plan(model, (IMAGES,)),
}


def codes(model: nn.Module, **options: Any) -> set[str]:
    report = bnlint.check(model, inputs=(IMAGES,), run=True, **options)
    assert report.unanalysed == ()
    assert report.coverage.notes == ()
    return {finding.code for finding in report.findings}


@pytest.mark.parametrize("name", WAYS)
def test_nothing_changes_whatever_holds_a_network(name: str) -> None:
    net = network()
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    model = WAYS[name](net)
    before = snapshot(net), snapshot(model)
    for look in LOOKS.values():
        look(model)
        assert (snapshot(net), snapshot(model)) == before


@pytest.mark.parametrize("name", WAYS)
def test_no_finding_is_hidden_by_what_holds_a_network(name: str) -> None:
    net = network()
    model = WAYS[name](net)
    registered = any(module is net for module in model.modules())
    assert codes(model) == ({"BN101", "BN501"} if registered else {"BN105", "BN501"})


def folded(model: nn.Module) -> bnlint.FoldResult | None:
    """The fold of a model; `None` where it is refused, since `copy.deepcopy` cannot make the model to give back."""
    with contextlib.suppress(NotAnalysedError):
        return bnlint.fold(model, (IMAGES,), force=True)
    with pytest.raises(NotAnalysedError, match="cannot be copied"):
        bnlint.fold(model, (IMAGES,), force=True)
    return None


@pytest.mark.parametrize("name", WAYS)
def test_a_fold_leaves_the_original_alone(name: str) -> None:
    net = network().eval()
    model = WAYS[name](net).eval()
    before = snapshot(net), snapshot(model)
    result = folded(model)
    if result is not None:
        assert result.verified
        assert not set(map(id, result.model.modules())) & {id(net), *map(id, net.modules())}
    assert (snapshot(net), snapshot(model)) == before


def seen_in(content: Callable[[], Any]) -> list[Any]:
    """What is in a cache, by identity and by value."""
    return [describe(leaf, 0) for leaf in tree_leaves(content())]


@pytest.fixture
def empty_caches() -> Iterator[None]:
    yield
    for table in (caches.TABLE, caches.NESTED["grids"], caches.ELSEWHERE.KEPT):
        table.clear()
    caches.limited.cache_clear()
    caches.unlimited.cache_clear()
    caches.GRID = None


@pytest.mark.usefixtures("empty_caches")
@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
@pytest.mark.parametrize("name", CACHES)
def test_a_cache_is_as_before_and_the_next_forward_works(name: str, filled: bool) -> None:
    model, content = CACHES[name]()
    model.eval()
    expected = model(IMAGES) if filled else None
    before = seen_in(content), snapshot(model)
    looks = [*LOOKS.values(), lambda model: bnlint.trace(model, (torch.ones(1),))]
    for look in looks:
        look(model)
        assert (seen_in(content), snapshot(model)) == before
    after = model(IMAGES)
    assert expected is None or torch.equal(after, expected)


@pytest.mark.usefixtures("empty_caches")
@pytest.mark.parametrize("name", CACHES)
def test_a_fold_leaves_no_tensor_of_its_proof_in_a_cache(name: str) -> None:
    model, content = CACHES[name]()
    before = seen_in(content)
    folded(model.eval())
    assert seen_in(content) == before
    assert model(IMAGES).dtype is torch.float32


NESTABLE = [
    "list", "deque", "dict", "namespace", "slotted_dataclass", "chain_map", "object_array", "default_factory",
    "mapping_proxy", "user_list", "refuses_to_be_copied", "generator",
]  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(names=st.lists(st.sampled_from(NESTABLE), min_size=1, max_size=5))
@example(names=["object_array", "refuses_to_be_copied"])  # the collector does not look into arrays
def test_nothing_changes_however_holders_are_nested(names: list[str]) -> None:
    net = network()
    held: Any = net
    keep = []
    for name in names:
        keep.append(held)
        held = HOLDERS[name][0](held)

    def ask(held: Any) -> Any:
        for name in reversed(names):
            held = HOLDERS[name][1](held)
        return held

    model = Caller(held, ask)
    before = snapshot(net), snapshot(model)
    report = bnlint.check(model, inputs=(IMAGES,), run=True)
    assert (snapshot(net), snapshot(model)) == before
    assert report.unanalysed or {finding.code for finding in report.findings} == {"BN105", "BN501"}
