"""What becomes of a layer's numbers once eps and a data type come in."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import bnlint
from bnlint.errors import UsageError
from bnlint.facts.gains import Arithmetic, NumberFacts, deployment_dtype, number_facts
from bnlint.facts.layers import norm_tensors, tensors_of
from bnlint.facts.statistics import NormTensors
from bnlint.facts.unknown import UNKNOWN


def tensors(**values: list[float]) -> NormTensors:
    return norm_tensors({name: torch.tensor(value) for name, value in values.items()})


def facts(held: NormTensors, **arithmetic: object) -> NumberFacts:
    return number_facts(held, Arithmetic(**({"eps": 1e-5} | arithmetic)))  # type: ignore[arg-type]


HEALTHY = tensors(running_mean=[0.0, 1.0], running_var=[1.0, 2.0], weight=[1.0, 0.5], bias=[0.0, 0.1])


def with_variance(*variance: float, **others: list[float]) -> NormTensors:
    size = len(variance)
    rest = {"running_mean": [0.0] * size, "weight": [1.0] * size, "bias": [0.0] * size} | others
    return tensors(running_var=list(variance), **rest)


@pytest.mark.parametrize(
    ("held", "share"),
    [
        (HEALTHY, 0.0),
        (with_variance(1e-30, 1e-8, 1.0, 1.0), 0.5),
        (with_variance(0.0), 1.0),
        (with_variance(1.01e-7), 0.0),  # just above a hundredth of eps
        (with_variance(0.99e-7), 1.0),
        (with_variance(1e-12, weight=[1e-6]), 0.0),  # the scale is as small: nothing is amplified
        (with_variance(1e-12, weight=[-1.0]), 1.0),
        (with_variance(-1e-3), 0.0),  # another fact tells of it
        (with_variance(math.nan), 0.0),
        (tensors(running_mean=[0.0], running_var=[1e-12]), 1.0),  # without a scale the gain is 1/√eps
        (tensors(weight=[1.0], bias=[0.0]), None),
    ],
)
def test_the_share_of_channels_that_eps_scales(held: NormTensors, share: float | None) -> None:
    assert facts(held)["channels_scaled_by_eps"] == share


def test_eps_decides_what_is_small() -> None:
    assert facts(with_variance(1e-8), eps=1e-12)["channels_scaled_by_eps"] == 0.0
    assert facts(with_variance(1e-8), eps=UNKNOWN)["channels_scaled_by_eps"] is UNKNOWN


def test_variances_of_zero_alone_need_no_eps() -> None:
    assert facts(with_variance(0.0, 0.0), eps=UNKNOWN)["channels_scaled_by_eps"] == 1.0
    assert facts(with_variance(0.0, 1e-8), eps=UNKNOWN)["channels_scaled_by_eps"] is UNKNOWN
    assert facts(with_variance(0.0, weight=[1e-6]), eps=UNKNOWN)["channels_scaled_by_eps"] is UNKNOWN


def test_tensors_that_do_not_agree_in_size_are_not_compared() -> None:
    held = tensors(running_mean=[0.0], running_var=[1e-12], weight=[1.0, 1.0, 1.0])
    assert facts(held)["channels_scaled_by_eps"] is UNKNOWN
    assert facts(held, deployed_in="float16")["range_exceeded_by"] is UNKNOWN


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("by_hand", [True, False])
def test_eps_is_lost_exactly_where_it_rounds_to_zero(dtype: torch.dtype, by_hand: bool) -> None:
    held = norm_tensors({"running_mean": torch.zeros(1, dtype=dtype), "running_var": torch.ones(1, dtype=dtype)})
    added_in = dtype if by_hand else torch.promote_types(dtype, torch.float32)
    for eps in (0.0, 1e-330, 1e-46, 1e-45, 1e-41, 1e-40, 2.9e-8, 3.0e-8, 1e-5):
        lost = torch.tensor(eps, dtype=added_in).item() == 0
        assert facts(held, eps=eps, by_hand=by_hand)["eps_is_lost"] is lost, eps


@pytest.mark.parametrize("eps", [None, UNKNOWN])
def test_an_eps_that_is_not_there_is_not_lost(eps: object) -> None:
    assert facts(HEALTHY, eps=eps)["eps_is_lost"] is eps


@pytest.mark.parametrize(
    ("held", "eps", "names"),
    [
        (HEALTHY, 1e-5, set()),
        (with_variance(65519.0), 1e-5, set()),  # rounds down to 65504
        (with_variance(65520.0), 1e-5, {"running_var"}),
        (with_variance(1.0, running_mean=[-7e4]), 1e-5, {"running_mean", "shift"}),
        (with_variance(1.0, weight=[7e4]), 1e-5, {"weight", "gain"}),
        (with_variance(1e-2, running_mean=[6e4]), 1e-5, {"shift"}),
        (with_variance(1e-30), 1e-5, set()),  # the variance becomes 0, and eps is left
        (with_variance(1e-9), 1e-12, {"gain", "shift"}),  # both become 0
        (with_variance(1.0, weight=[math.inf]), 1e-5, set()),  # another fact tells of it
        (with_variance(-1.0), 1e-5, set()),
        (tensors(weight=[7e4], bias=[0.0]), 1e-5, {"weight"}),
    ],
)
def test_what_leaves_the_range_of_float16(held: NormTensors, eps: float, names: set[str]) -> None:
    assert facts(held, eps=eps, deployed_in="float16")["range_exceeded_by"] == names
    assert facts(held, eps=eps)["range_exceeded_by"] == set()


@pytest.mark.parametrize(("held", "names"), [(HEALTHY, UNKNOWN), (with_variance(1e5), {"running_var"})])
def test_without_eps_the_gain_is_unknown_and_the_tensors_are_not(held: NormTensors, names: object) -> None:
    assert facts(held, eps=UNKNOWN, deployed_in="float16")["range_exceeded_by"] == names


def test_without_data_nothing_is_known() -> None:
    layer = nn.BatchNorm1d(3, device="meta")
    held = tensors_of(layer)
    found = facts(held, deployed_in="float16")
    assert found["channels_scaled_by_eps"] is UNKNOWN
    assert found["range_exceeded_by"] is UNKNOWN
    assert found["eps_is_lost"] is False


@pytest.mark.parametrize("given", ["float16", torch.float16])
def test_the_data_type_of_deployment_by_name_or_object(given: object) -> None:
    assert deployment_dtype(given) == "float16"  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["fp16", "float32", torch.float64])
def test_another_data_type_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match="Choose float16 or bfloat16"):
        bnlint.check(nn.BatchNorm1d(3), deploy_dtype=given)  # type: ignore[arg-type]
