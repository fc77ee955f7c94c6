"""The list of model families agrees with the timm that is installed."""

from __future__ import annotations

import pytest

from tests.zoo.families import FAMILIES, batch_norms, smallest_with_batch_norm, without_weights

timm = pytest.importorskip("timm")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_stands_for_its_own_family(family: str) -> None:
    assert FAMILIES[family] in timm.list_models(module=family)


@pytest.mark.parametrize("family", ["convmixer", "mobilevit", "swiftformer", "visformer"])
def test_it_is_the_smallest_with_batch_norm(family: str) -> None:
    """For all families: `python -m tests.zoo.families`."""
    assert smallest_with_batch_norm(family) == FAMILIES[family]


@pytest.mark.parametrize("family", sorted(set(timm.list_modules()) - set(FAMILIES)))
def test_a_family_that_is_not_in_the_list_has_no_batch_norm(family: str) -> None:
    for name in timm.list_models(module=family)[:1]:
        assert batch_norms(without_weights(name)) == set()
