"""Values that other code reads or writes: folded or kept, the outputs are right."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import assert_kept, fold, images


def test_an_output_used_twice() -> None:
    def residual(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.bn(y) + y

    assert_kept(model_of(residual, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="output of conv is used elsewhere")


def test_an_output_that_is_also_an_output_of_the_model() -> None:
    def both(m: nn.Module, x: Tensor) -> Any:
        y = m.conv(x)
        return {"features": [y], "normalised": m.bn(y)}

    assert_kept(model_of(both, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="used elsewhere")


def test_a_concatenation_of_which_one_part_is_used_elsewhere() -> None:
    def concatenate(m: nn.Module, x: Tensor) -> Any:
        first, second = m.first(x), m.second(x)
        return m.bn(torch.cat([first, second], 1)), second

    model = model_of(concatenate, first=conv(), second=conv(), bn=nn.BatchNorm2d(16))
    assert_kept(model, SQUARE, words="output of second is used elsewhere")


def test_a_concatenation_with_the_input() -> None:
    model = model_of(lambda m, x: m.bn(torch.cat([m.conv(x), x], 1)), conv=conv(), bn=nn.BatchNorm2d(16))
    assert_kept(model, SQUARE, words="")


def test_a_concatenation_of_one_value_with_itself() -> None:
    def double(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.bn(torch.cat([y, y], 1))

    assert_kept(model_of(double, conv=conv(), bn=nn.BatchNorm2d(16)), SQUARE, words="conv")


def test_a_sum_of_a_value_with_itself() -> None:
    def double(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.bn(y + y)

    fold(model_of(double, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_a_sum_that_broadcasts() -> None:
    model = model_of(
        lambda m, x: m.bn(m.conv(x) + m.gate(x.mean((2, 3), keepdim=True))),
        conv=conv(), gate=nn.Conv2d(8, 8, 1), bn=nn.BatchNorm2d(8),
    )  # fmt: skip
    fold(model, SQUARE)


def test_a_weighted_sum() -> None:
    model = model_of(
        lambda m, x: m.bn(torch.add(m.conv(x), m.other(x), alpha=0.5)), conv=conv(), other=conv(), bn=nn.BatchNorm2d(8)
    )
    fold(model, SQUARE)


def test_a_difference_is_no_sum() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x) - m.other(x)), conv=conv(), other=conv(), bn=nn.BatchNorm2d(8))
    fold(model, SQUARE)


def test_a_sum_with_a_constant() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x) + 1.5), conv=conv(), bn=nn.BatchNorm2d(8))
    fold(model, SQUARE)


def test_an_activation_in_place_on_a_value_used_elsewhere() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        z = m.bn(y)
        return y.relu_() + z

    assert_kept(model_of(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE, words="conv")


def test_a_change_in_place_between_convolution_and_norm() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        y.clamp_(min=0)
        return m.bn(y)

    fold(model_of(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_a_change_in_place_through_a_view() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        y[:, 0] = 3
        return m.bn(y)

    fold(model_of(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_a_change_in_place_of_a_flat_view_before_the_norm() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        y.view(-1).abs_()
        return m.bn(y)

    fold(model_of(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_the_input_of_a_norm_is_changed_in_place_after_it() -> None:
    """Without the BatchNorm its output is its input: the change would reach the linear layer."""

    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        x = x.tanh()
        y = m.bn(x)
        x.relu_()
        return m.head(y) + x.sum()

    fold(model_of(in_place, bn=nn.BatchNorm1d(8), head=nn.Linear(8, 3)), images(4, 8))


def test_the_input_of_a_norm_on_a_skip_connection_is_changed_in_place_after_it() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        x = x.tanh()
        skip, y = m.bn(x), m.conv(x)
        x.relu_()
        return y + skip + x.sum()

    fold(model_of(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_the_skip_connection_is_summed_in_place() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Any:
        x = x.tanh()
        skip = m.bn(x)
        skip += m.conv(x)
        return skip, x

    fold(model_of(in_place, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_an_activation_in_place_behind_a_norm_that_folds_downstream() -> None:
    def in_place(m: nn.Module, x: Tensor) -> Any:
        x = x.tanh()
        y = m.bn(x)
        z = m.head(y)
        y.relu_()
        return z, y, x

    fold(model_of(in_place, bn=nn.BatchNorm1d(8), head=nn.Linear(8, 3)), images(4, 8))


def test_the_input_of_the_model_is_not_written_to_by_a_folded_model() -> None:
    model = model_of(lambda m, x: F.relu(m.bn(x), inplace=True), bn=nn.BatchNorm1d(8))
    result = fold(model, images(4, 8))
    given = images(4, 8)
    result.model(given)
    assert torch.equal(given, images(4, 8))
