"""The least and the greatest value of a tensor."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bnlint.facts.live_numbers import of_tensor
from bnlint.facts.ranges import Range, range_of
from bnlint.facts.unknown import UNKNOWN

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_both_ends_in_every_floating_point_type(dtype: torch.dtype) -> None:
    assert range_of(of_tensor(torch.tensor([0.5, -2.0, 1.0]).to(dtype))) == Range(-2.0, 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_enough(value: float) -> None:
    extent = range_of(of_tensor(torch.tensor([1.0, value, 2.0])))
    assert extent is not UNKNOWN
    assert not extent.finite


def test_the_peak_is_the_greatest_absolute_value() -> None:
    assert Range(-3.0, 2.0).peak == 3.0


@pytest.mark.parametrize(("values", "expected"), [([1.0, 1.0], True), ([1.0, 1.5], False), ([math.nan, 1.0], False)])
def test_whether_all_values_are_one(values: list[float], expected: bool) -> None:
    extent = range_of(of_tensor(torch.tensor(values)))
    assert extent is not UNKNOWN
    assert extent.is_all(1.0) is expected


def test_nothing_is_no_value() -> None:
    extent = range_of(of_tensor(torch.empty(0)))
    assert extent is not UNKNOWN
    assert not extent.is_all(0.0)


@pytest.mark.parametrize("tensor", [torch.empty(3, device="meta"), nn.UninitializedBuffer()], ids=["meta", "lazy"])
def test_without_data_it_is_unknown(tensor: torch.Tensor) -> None:
    assert range_of(of_tensor(tensor)) is UNKNOWN
