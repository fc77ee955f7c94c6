"""What live layers and layers in files say of themselves in the same words."""

from __future__ import annotations

from typing import Any

import pytest

from bnlint.facts.configuration import dims_of_name, eps_among, number


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"eps": 1e-3}, 1e-3),
        ({"epsilon": 1}, 1.0),
        ({"variance_epsilon": 1e-6}, 1e-6),
        ({"eps": None, "variance_epsilon": 1e-6}, 1e-6),
        ({"eps": 1e-5, "epsilon": 1e-3}, 1e-5),
        ({"eps": None}, None),
        ({"eps": "small"}, None),
        ({}, None),
    ],
)
def test_eps_by_its_usual_names(attributes: dict[str, Any], expected: float | None) -> None:
    assert eps_among(attributes.get) == expected


@pytest.mark.parametrize(
    ("name", "dims"),
    [("BatchNorm1d", 1), ("LazyInstanceNorm2d", 2), ("Norm3d", 3), ("SyncBatchNorm", None), ("BatchNormAct2d", None)],
)
def test_dims_by_the_name_of_the_class(name: str, dims: int | None) -> None:
    assert dims_of_name(name) == dims


def test_what_is_no_number_is_none() -> None:
    assert [number(value) for value in (0.1, 0, None, "0.1", 10**400)] == [0.1, 0, None, None, None]
