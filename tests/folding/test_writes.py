"""Values, views and parts that are written to: folded or kept, the outputs are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import assert_folds, assert_kept, fold

OPERATORS = torch.library.Library("bnlint_tests_of_folding", "DEF")
"""Operators of another library; what their names mean elsewhere says nothing."""


def _twice_in_place(x: Tensor) -> None:
    x.mul_(2)


def _reversed(x: Tensor) -> Tensor:
    return x.flip(1).clone()


OPERATORS.define("twice(Tensor(a!) x) -> ()")
OPERATORS.impl("twice", _twice_in_place, "CompositeExplicitAutograd")
for _name in ("flatten", "double", "mean", "contiguous"):
    OPERATORS.define(f"{_name}(Tensor x) -> Tensor")
    OPERATORS.impl(_name, _reversed, "CompositeExplicitAutograd")


def test_an_operator_of_another_library_that_writes() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        torch.ops.bnlint_tests_of_folding.twice(y)
        return m.bn(y)

    assert_kept(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="changed in place")


@pytest.mark.parametrize("name", ["flatten", "double", "mean", "contiguous"])
@pytest.mark.parametrize("overload", [False, True])
def test_an_operator_of_another_library_with_a_name_of_torch(name: str, overload: bool) -> None:
    operator = getattr(torch.ops.bnlint_tests_of_folding, name)
    operator = operator.default if overload else operator
    model = model_of(lambda m, x: m.bn(operator(m.conv(x))), conv=conv(), bn=nn.BatchNorm2d(8))
    assert_kept(model, SQUARE, words=f"bnlint_tests_of_folding::{name}")


@pytest.mark.parametrize(
    "write",
    [
        lambda m, y: F.relu(y[:, :4], inplace=True),
        lambda m, y: m.act(y[:, :4]),
        lambda m, y: y.view(-1).zero_(),
        lambda m, y: y.detach().abs_(),
        lambda m, y: torch.add(y, 1, out=y),
        lambda m, y: y.transpose_(1, 2),
        lambda m, y: torch._foreach_mul_([y], 2.0),
    ],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_write_before_or_after_the_norm(write: Callable[[nn.Module, Tensor], Any], place: str) -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.conv(x)
        if place == "before":
            write(m, y)
        z = m.bn(y)
        if place == "after":
            write(m, y)
        return z, y

    fold(model_of(compute, conv=conv(), act=nn.ReLU(inplace=True), bn=nn.BatchNorm2d(8)), SQUARE)


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x, v: x.sub_(m.conv(x)),
        lambda m, x, v: x.add_(m.conv(x)),
        lambda m, x, v: m.conv(v) + x.relu_(),
        lambda m, x, v: m.conv(x) + v.mul_(2),
    ],
)
def test_a_sum_in_place_that_a_view_sees(compute: Callable[..., Tensor]) -> None:
    def whole(m: nn.Module, x: Tensor) -> Tensor:
        x = x.tanh()
        view = x.view_as(x)
        return m.bn(compute(m, x, view)) + view.sum()

    fold(model_of(whole, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_a_part_that_is_written_to_behind_the_norm() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        first, second = y[:, :4], y[:, 4:]
        return m.bn(second).add_(1) + first

    assert_folds(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(4)), SQUARE)


def test_a_view_of_the_output_of_the_norm_is_written_to_later() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        y = m.bn(m.conv(x))
        view, kept = y.view(-1), y * 1
        view.zero_()
        return y + kept

    assert_folds(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


@pytest.mark.parametrize(
    "change", [lambda y: y.transpose_(2, 3), lambda y: y.unsqueeze_(0), lambda y: y.swapaxes_(2, 3)]
)
def test_the_output_of_a_norm_changes_its_shape_in_place(change: Callable[[Tensor], Tensor]) -> None:
    """Without the norm its output is its input, which keeps its shape in the original."""

    def compute(m: nn.Module, x: Tensor) -> Any:
        x = x.tanh()
        y = m.bn(x)
        change(y)
        return m.head(y.reshape(2, 8, 8, 8)), x

    fold(model_of(compute, bn=nn.BatchNorm2d(8), head=nn.Conv2d(8, 3, 1)), SQUARE)


@pytest.mark.parametrize("written", [0, 1])
def test_a_part_behind_the_norm_is_written_to(written: int) -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        parts = m.bn(x.tanh()).chunk(2, 1)
        parts[written].relu_()
        return m.first(parts[0]), m.second(parts[1])

    model = model_of(compute, bn=nn.BatchNorm2d(8), first=nn.Conv2d(4, 4, 1), second=nn.Conv2d(4, 4, 1))
    assert_kept(model, SQUARE, words="relu")


def test_the_whole_is_written_to_through_the_other_part() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.conv(x)
        first, second = y.chunk(2, 1)
        normalised = m.bn(second)
        first.copy_(normalised)
        return normalised + first, y

    assert_kept(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(4)), SQUARE, words="it feeds copy")


def test_the_signs_of_a_norm_that_another_has_changed() -> None:
    """`bn` takes the scale of `bn2`, which may turn maxima into minima."""
    model = model_of(
        lambda m, x: m.conv(F.max_pool2d(m.bn2(m.bn(x.tanh())), 2)),
        conv=nn.Conv2d(8, 4, 1), bn=nn.BatchNorm2d(8), bn2=nn.BatchNorm2d(8),
    )  # fmt: skip
    model.bn.weight.data.abs_()
    assert_kept(model, SQUARE, words="it feeds bn2")
