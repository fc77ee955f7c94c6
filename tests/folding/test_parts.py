"""Parts of a value: folded or kept, the outputs are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import assert_folds, assert_kept, fold


@pytest.mark.parametrize(
    "part",
    [
        lambda y: y.chunk(2, 2)[0],
        lambda y: y.chunk(2, dim=-1)[1],
        lambda y: y.split(4, 3)[0],
        lambda y: y[:, :, :4],
        lambda y: y[:, :, 0::2],
        lambda y: y[:1],
        lambda y: y[..., :4],
        lambda y: y.narrow(2, 0, 4),
        lambda y: y.unbind(0)[0].unsqueeze(0),
    ],
)
def test_a_part_of_the_places_is_normalised_and_the_rest_is_used(part: Callable[[Tensor], Tensor]) -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.conv(x)
        return m.bn(part(y)), y.chunk(2, 2)[1]

    assert_kept(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="")


@pytest.mark.parametrize(
    ("part", "others"),
    [
        (lambda y: y[:, :5], lambda y: y[:, 4:]),
        (lambda y: y[:, :4], lambda y: y[:, ::2]),
        (lambda y: y[:, :4], lambda y: y[:, -5:]),
        (lambda y: y[:, :4], lambda y: y[:, 3]),
        (lambda y: y[:, :4], lambda y: y[:, [3, 4]]),
        (lambda y: y[:, :4], lambda y: y[0]),
        (lambda y: y[:, :4], lambda y: y[:, :, 0]),
        (lambda y: y[:, :4], lambda y: y[..., 0]),
        (lambda y: y[:, :4], lambda y: y[:, None]),
        (lambda y: y[:, :4], lambda y: y.chunk(4, 1)[1]),
        (lambda y: y.chunk(2, 1)[0], lambda y: y.chunk(2, 1)[0]),
        (lambda y: y.chunk(2, 1)[0], lambda y: y[:, 3:5]),
        (lambda y: y[:, ::2], lambda y: y[:, 1::2]),
        (lambda y: y[:, 0:1], lambda y: y[:, 0]),
    ],
)
def test_parts_that_overlap(part: Callable[[Tensor], Tensor], others: Callable[[Tensor], Tensor]) -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.conv(x)
        first = part(y)
        return m.bn(first), others(y)

    count = part(SQUARE).shape[1]
    fold(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(count)), SQUARE)


def test_one_half_is_normalised_and_both_are_used() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        first, second = m.conv(x).chunk(2, 1)
        return m.bn(first) * second

    assert_folds(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(4)), SQUARE)


def test_one_half_is_normalised_and_used_before_it() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        first, second = m.conv(x).chunk(2, 1)
        return m.bn(first) * second + first

    assert_kept(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(4)), SQUARE, words="used elsewhere")


def test_one_half_is_changed_in_place_before_the_other_is_normalised() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        y = m.conv(x)
        first, second = y[:, :4], y[:, 4:]
        second.relu_()
        return m.bn(first) * second + m.other(second)

    fold(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(4), other=nn.BatchNorm2d(4)), SQUARE)


def test_both_halves_pass_one_norm() -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        first, second = m.conv(x).chunk(2, 1)
        return m.bn(first) * m.bn(second)

    fold(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(4)), SQUARE)
