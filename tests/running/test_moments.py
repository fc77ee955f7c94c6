from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bnlint.running.moments import Moments


def moments(values: Tensor, *sizes: int) -> Moments:
    """Values (N, C, L), added in batches of these sizes."""
    made = Moments()
    for batch in values.split(sizes or (len(values),)):
        made.add(batch.mean(2), batch.square().mean(2))
    return made


def test_batches_add_up_to_the_whole() -> None:
    values = torch.randn(20, 3, 7, dtype=torch.float64) * 2 + torch.tensor([0.0, 5, -1])[None, :, None]
    whole, parts = moments(values).distances(), moments(values, 1, 6, 4, 9).distances()
    assert torch.allclose(whole.mean, values.mean((0, 2)))
    assert torch.allclose(whole.spread, values.transpose(0, 1).flatten(1).std(1, correction=0))
    assert torch.allclose(whole.distance, parts.distance)


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (1.0, 1.0), (0.0, 3.0), (-2.0, 0.5), (0.0, 0.0)])
def test_the_distance_is_wasserstein_for_many_samples(mean: float, spread: float) -> None:
    values = torch.randn(4000, 1, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * spread + mean
    expected = (mean**2 + (spread - 1) ** 2) ** 0.5
    assert float(moments(values).distances().distance) == pytest.approx(expected, abs=0.06)


def test_chance_is_no_distance_whatever_the_number_of_samples() -> None:
    """Values of one sample are equal, so that only the samples count: a naive error would be ten times too small."""
    generator = torch.Generator().manual_seed(0)
    for samples in (8, 32, 128):
        values = torch.randn(samples, 400, 1, dtype=torch.float64, generator=generator).expand(-1, -1, 100)
        distance = moments(values).distances().distance
        assert float(distance.median()) == 0.0
        assert float((distance > 0.25).double().mean()) < 0.1


def test_what_is_not_finite_is_infinitely_far() -> None:
    values = torch.ones(8, 2, 3, dtype=torch.float64)
    values[0, 1, 0] = torch.nan
    distance = moments(values).distances().distance
    assert torch.isinf(distance[1])
    assert torch.isfinite(distance[0])
