"""A BatchNorm on concatenations, parts and sums: folded, and right.

Nothing is kept, and the outputs are those of the original in float64. Statistics are those of
`awkward`: gains of both signs, a variance of 1e-6 and one of 100. Tolerances, relative to the largest value of an
output: 1e-10 folded and run in float64, 2e-5 in float32 (see `tests.folding.proof`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.folding.layers import SHAPE, model_of, value
from tests.folding.proof import Chain, assert_folds, assert_kept, awkward, images


def test_concatenation() -> None:
    assert_folds(
        model_of(
            lambda m, x: m.bn(torch.cat([m.first(x), m.second(x), m.third(x)], 1)),
            first=nn.Conv2d(8, 4, 1), second=nn.Conv2d(8, 6, 1, bias=False), third=nn.GroupNorm(2, 8),
            bn=nn.BatchNorm2d(18),
        ),
        value(),
    )  # fmt: skip


@pytest.mark.parametrize("axis", [1, -3])
def test_concatenation_by_keyword_and_of_concatenations(axis: int) -> None:
    assert_folds(
        model_of(
            lambda m, x: m.bn(torch.cat((torch.cat([m.first(x), m.second(x)], dim=axis), m.third(x)), dim=axis)),
            first=nn.Conv2d(8, 4, 1), second=nn.Conv2d(8, 6, 1), third=nn.Conv2d(8, 2, 1, groups=2),
            bn=nn.BatchNorm2d(12),
        ),
        value(),
    )  # fmt: skip


def test_concatenation_of_places() -> None:
    assert_folds(
        model_of(
            lambda m, x: m.bn(torch.cat([m.first(x), m.second(x)], 2)),
            first=nn.Conv2d(8, 4, 1), second=nn.Conv2d(8, 4, 3, padding=1), bn=nn.BatchNorm2d(4),
        ),
        value(),
    )  # fmt: skip


@pytest.mark.parametrize(("axis", "channels_at"), [(1, 2), (2, 1), (-1, 1)])
def test_stack(axis: int, channels_at: int) -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        return m.bn(torch.stack([m.first(x), m.second(x)], axis).movedim(channels_at, 1))

    layers = model_of(compute, first=nn.Conv2d(8, 6, 1), second=nn.Conv2d(8, 6, 1), bn=nn.BatchNorm3d(6))
    assert_folds(layers, value())


PARTS: dict[str, Callable[[Tensor], tuple[Tensor, ...]]] = {
    "chunk": lambda y: y.chunk(2, 1),
    "chunk_function": lambda y: torch.chunk(y, 2, dim=1),
    "split": lambda y: y.split(4, 1),
    "split_uneven": lambda y: y.split([4, 4], dim=-3),
    "split_function": lambda y: torch.split(y, 4, dim=1),
    "slices": lambda y: (y[:, :4], y[:, 4:]),
    "negative_slices": lambda y: (y[:, :-4], y[:, -4:]),
    "narrow": lambda y: (y.narrow(1, 0, 4), torch.narrow(y, dim=1, start=4, length=4)),
    "behind_an_ellipsis": lambda y: (y[..., :4, :, :], y[:, 4:, ...]),
    "every_second": lambda y: (y[:, ::2], y[:, 1::2]),
    "of_some_places": lambda y: (y[:, :4, 1:-1, ::2], y[:, 4:, 1:-1, ::2]),
    "of_one_row": lambda y: (y[:, :4, 0, None], y[:, 4:, -1:]),
    "slices_of_all_axes": lambda y: (y[:, :4, :, :], y[:, 4:, :, :]),
}


@pytest.mark.parametrize("parts", PARTS)
def test_parts_of_the_channels(parts: str) -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        first, second = PARTS[parts](m.conv(x))
        return m.bn(first).relu() + m.bn2(second).sigmoid()

    layers = model_of(compute, conv=nn.Conv2d(8, 8, 3), bn=nn.BatchNorm2d(4), bn2=nn.BatchNorm2d(4))
    assert_folds(layers, value())


@pytest.mark.parametrize("parts", PARTS)
def test_one_part_is_normalised(parts: str) -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        first, second = PARTS[parts](m.conv(x))
        return torch.cat([first, m.bn(second).relu()], 1)

    layers = model_of(compute, conv=nn.Conv2d(8, 8, 3, groups=2, bias=False), bn=nn.BatchNorm2d(4))
    assert_folds(layers, value())


@pytest.mark.parametrize(
    "part", [lambda y: y.unbind(2)[1], lambda y: y.select(2, 1), lambda y: y[:, :, 1], lambda y: y[..., 1, :]]
)
def test_one_row_of_the_places(part: Callable[[Tensor], Tensor]) -> None:
    assert_folds(awkward(Chain(conv=nn.Conv2d(8, 6, 1), part=part, bn=nn.BatchNorm1d(6))), value())


def test_two_parts_of_one_value_are_summed() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.bn(y[:, :4] + y[:, 4:])

    layers = model_of(compute, conv=nn.Conv2d(8, 8, 3, groups=2), bn=nn.BatchNorm2d(4))
    assert_folds(layers, value())


@pytest.mark.parametrize("heads", [lambda: nn.Conv2d(14, 5, 1), lambda: nn.Conv2d(14, 6, 3, groups=2)])
def test_concatenation_downstream(heads: Callable[[], nn.Module]) -> None:
    layers = model_of(
        lambda m, x: m.head(torch.cat([m.bn(x.tanh()), m.conv(x)], 1)),
        conv=nn.Conv2d(8, 6, 1), head=heads(), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert assert_folds(layers, value()).folds[0].into == ("head",)


def test_two_norms_are_concatenated_downstream() -> None:
    layers = model_of(
        lambda m, x: m.head(torch.cat([m.bn(x.tanh()), m.bn2(x.sigmoid())], -3).mean((2, 3))),
        head=nn.Linear(16, 5, bias=False), bn=nn.BatchNorm2d(8), bn2=nn.BatchNorm2d(8),
    )  # fmt: skip
    assert_folds(layers, value())


def test_one_norm_is_concatenated_with_itself_downstream() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        y = m.bn(x.tanh())
        return m.head(torch.cat([y, x, y], 1))

    assert_folds(model_of(compute, head=nn.Conv2d(24, 5, 1), bn=nn.BatchNorm2d(8)), value())


@pytest.mark.parametrize("parts", PARTS)
def test_parts_downstream(parts: str) -> None:
    def compute(m: nn.Module, x: Tensor) -> Any:
        first, second = PARTS[parts](m.bn(x.tanh()))
        return m.first(first), m.second(second)

    layers = model_of(compute, first=nn.Conv2d(4, 5, 1), second=nn.Conv2d(4, 6, 1), bn=nn.BatchNorm2d(8))
    assert assert_folds(layers, value()).folds[0].into == ("first", "second")


def test_difference_of_two_branches() -> None:
    layers = model_of(
        lambda m, x: m.bn(m.first(x) - (m.second(x) - m.third(x))),
        first=nn.Conv2d(8, 6, 1), second=nn.Conv2d(8, 6, 1, bias=False), third=nn.Conv2d(8, 6, 1), bn=nn.BatchNorm2d(6),
    )  # fmt: skip
    assert_folds(layers, value())


@pytest.mark.parametrize("way", [lambda a, b: a + b, lambda a, b: b + a, lambda a, b: a - b, lambda a, b: b - a])
def test_addition_that_broadcasts(way: Callable[[Tensor, Tensor], Tensor]) -> None:
    layers = model_of(
        lambda m, x: m.bn(way(m.first(x), m.second(x.mean((2, 3), keepdim=True)))),
        first=nn.Conv2d(8, 6, 1), second=nn.Conv2d(8, 6, 1), bn=nn.BatchNorm2d(6),
    )  # fmt: skip
    assert_folds(layers, value())


SUMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "operator": lambda a, b: a + b,
    "function": torch.add,
    "method": lambda a, b: a.add(b),
    "in_place": lambda a, b: a.add_(b),
    "sum": lambda a, b: sum([a, b]),
}


@pytest.mark.parametrize("how", SUMS)
def test_addition_of_two_branches(how: str) -> None:
    layers = model_of(
        lambda m, x: m.bn(SUMS[how](m.first(x), m.second(x).mean((2, 3), keepdim=True).expand(2, 6, 7, 6))),
        first=nn.Conv2d(8, 6, 1, bias=False), second=nn.Conv2d(8, 6, 3), bn=nn.BatchNorm2d(6),
    )  # fmt: skip
    assert_folds(layers, value())


def test_addition_of_three_branches_with_norms() -> None:
    layers = model_of(
        lambda m, x: m.bn(m.first(x) + m.norm(m.second(x)) + m.third(x)),
        first=nn.Conv2d(8, 6, 1), second=nn.Conv2d(8, 6, 1, bias=False), norm=nn.BatchNorm2d(6),
        third=nn.Conv2d(8, 6, 1, groups=2), bn=nn.BatchNorm2d(6),
    )  # fmt: skip
    assert_folds(layers, value())


BEYOND: dict[str, Callable[[], nn.Module]] = {
    "times_a_number": lambda: Chain(conv=nn.Conv2d(8, 6, 1), move=lambda y: y * 0.5, bn=nn.BatchNorm2d(6)),
    "plus_a_number": lambda: Chain(conv=nn.Conv2d(8, 6, 1), move=lambda y: y + 0.5, bn=nn.BatchNorm2d(6)),
    "before_a_transposed_convolution": lambda: Chain(
        activation=nn.Tanh(), bn=nn.BatchNorm2d(8), conv=nn.ConvTranspose2d(8, 6, 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("pattern", BEYOND)
def test_kept_although_algebra_would_allow_it(pattern: str) -> None:
    assert_kept(awkward(BEYOND[pattern]()), images(*SHAPE[:4]), words="it f")
