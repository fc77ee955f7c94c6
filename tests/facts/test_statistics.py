"""What the tensors of a layer say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing._internal.two_tensor import TwoTensor

from bnlint.facts.layers import norm_tensors
from bnlint.facts.layers import tensors_of as tensors
from bnlint.facts.statistics import statistics_facts
from bnlint.facts.unknown import UNKNOWN


def test_a_fresh_layer() -> None:
    facts = statistics_facts(tensors(nn.BatchNorm2d(5)))
    expected = {
        "affine": True, "has_running_statistics": True, "channels": 5, "dtype": "float32", "has_batch_counter": True,
        "batches_counted": 0, "statistics_at_initial_values": True, "nonfinite_tensors": frozenset(),
        "negative_variances": 0,
    }  # fmt: skip
    assert {name: value for name, value in facts.items() if name in expected} == expected


def test_one_update_moves_the_statistics() -> None:
    layer = nn.BatchNorm1d(3)
    layer(torch.randn(8, 3))
    facts = statistics_facts(tensors(layer))
    assert facts["statistics_at_initial_values"] is False
    assert facts["batches_counted"] == 1


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_one_channel_that_moved_is_enough(name: str) -> None:
    layer = nn.BatchNorm1d(3)
    getattr(layer, name)[1] = 0.5
    assert statistics_facts(tensors(layer))["statistics_at_initial_values"] is False


def test_values_that_cancel_out_are_not_zero() -> None:
    layer = nn.BatchNorm1d(2)
    layer.running_mean.copy_(torch.tensor([1.0, -1.0]))
    assert statistics_facts(tensors(layer))["statistics_at_initial_values"] is False


@pytest.mark.parametrize("name", ["running_mean", "running_var", "weight", "bias"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite(name: str, value: float) -> None:
    layer = nn.BatchNorm1d(3)
    getattr(layer, name).data[2] = value
    assert statistics_facts(tensors(layer))["nonfinite_tensors"] == {name}


def test_infinities_of_both_signs_do_not_cancel_out() -> None:
    mean = torch.tensor([math.inf, -math.inf])
    assert statistics_facts(norm_tensors({"running_mean": mean}))["nonfinite_tensors"] == {"running_mean"}


def test_large_finite_values_whose_sum_overflows_are_finite() -> None:
    weight = torch.full((4,), torch.finfo(torch.float64).max, dtype=torch.float64)
    assert statistics_facts(norm_tensors({"weight": weight}))["nonfinite_tensors"] == frozenset()


def test_negative_variances_are_counted() -> None:
    variance = torch.tensor([1.0, -1e-6, 0.0, -2.0])
    assert (
        statistics_facts(norm_tensors({"running_mean": torch.zeros(4), "running_var": variance}))["negative_variances"]
        == 2
    )


def test_zero_variances_are_counted() -> None:
    variance = torch.tensor([1.0, 0.0, -1.0, 0.0, 1e-30])
    assert (
        statistics_facts(norm_tensors({"running_mean": torch.zeros(5), "running_var": variance}))["zero_variances"] == 2
    )


@pytest.mark.parametrize(
    ("weight", "share"),
    [
        ([1.0, -1.0], 0.0),
        ([1.0, 0.0], 0.5),
        ([0.0, 0.0], 1.0),
        ([1.0, 1e-7, 2e-7, -1e-8], 0.5),  # 2⁻²³ is 1.19e-7
        ([1e-30, 2e-30], 0.0),  # small, all of them: what counts is the largest
        ([-1.0, -2.0], 0.0),
        ([math.nan, 0.0], 0.5),
    ],
)
def test_scales_that_vanish_beside_the_largest(weight: list[float], share: float) -> None:
    assert statistics_facts(norm_tensors({"weight": torch.tensor(weight)}))["zero_scale_share"] == share


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_is_that_of_the_statistics(dtype: torch.dtype) -> None:
    facts = statistics_facts(tensors(nn.BatchNorm1d(3, dtype=dtype)))
    assert facts["dtype"] == str(dtype).removeprefix("torch.")
    assert facts["statistics_at_initial_values"] is True


def test_a_layer_without_statistics_or_scale() -> None:
    facts = statistics_facts(tensors(nn.BatchNorm1d(3, affine=False, track_running_stats=False)))
    assert facts["affine"] is False
    assert facts["has_running_statistics"] is False
    for name in ("channels", "dtype", "batches_counted", "statistics_at_initial_values", "negative_variances"):
        assert facts[name] is None, name  # type: ignore[literal-required]


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3, device="meta"), nn.LazyBatchNorm1d()], ids=["meta", "lazy"])
def test_tensors_without_data_have_unknown_values(layer: nn.Module) -> None:
    facts = statistics_facts(tensors(layer))
    assert facts["affine"] is True
    assert facts["has_running_statistics"] is True
    for name in ("statistics_at_initial_values", "nonfinite_tensors", "negative_variances"):
        assert facts[name] is UNKNOWN, name  # type: ignore[literal-required]


def test_reading_changes_nothing() -> None:
    layer = nn.BatchNorm1d(3)
    before: dict[str, Tensor] = {name: value.clone() for name, value in layer.state_dict().items()}
    versions = [tensor._version for tensor in layer.state_dict().values()]
    statistics_facts(tensors(layer))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert [tensor._version for tensor in layer.state_dict().values()] == versions


@pytest.mark.parametrize(
    ("counter", "counted"),
    [(3.0, 3), (float("nan"), UNKNOWN), (float("inf"), UNKNOWN), ([1, 2], UNKNOWN), ([], UNKNOWN), (True, 1)],
)
def test_a_counter_that_is_no_count_says_nothing(counter: object, counted: object) -> None:
    layer = nn.BatchNorm1d(3)
    layer.num_batches_tracked = torch.tensor(counter)
    assert statistics_facts(tensors(layer))["batches_counted"] == counted


@pytest.mark.parametrize("kind", ["sparse", "quantised", "nested", "negated", "wrapped", "torch's own layout"])
def test_tensors_that_do_not_hold_plain_values_are_unknown_or_read_right(kind: str) -> None:
    values = torch.tensor([0.5, -0.25, 0.0])
    mean = {
        "sparse": values.to_sparse,
        "quantised": lambda: torch.quantize_per_tensor(values, 0.25, 0, torch.qint8),
        "nested": lambda: torch.nested.nested_tensor([values]),
        "negated": lambda: torch.conj(torch.complex(values, -values)).imag,
        "wrapped": lambda: TwoTensor(values, values),
        "torch's own layout": values.to_mkldnn,
    }[kind]()
    layer = nn.BatchNorm1d(3)
    layer._buffers["running_mean"] = mean
    facts = statistics_facts(tensors(layer))
    assert facts["statistics_at_initial_values"] is (False if kind == "negated" else UNKNOWN)
    assert facts["negative_variances"] == 0
