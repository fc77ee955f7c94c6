"""Running statistics against data: what is wrong is found where it is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from bnlint.running.copies import RunningCopy
from bnlint.running.drift import observe_drift
from bnlint.running.observations import DataRun
from bnlint.tracing.inputs import Inputs
from tests.models import ConvNet
from tests.tracing.snapshot import snapshot

FAR, OWN_FAR = 0.5, 0.2


def images(batches: int, seed: int, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.rand(16, 3, 16, 16, generator=generator) for _ in range(batches)]


@pytest.fixture
def trained() -> ConvNet:
    torch.manual_seed(0)
    model = ConvNet()
    for batch in images(60, seed=1):
        model(batch)
    return model.eval()


def observe(model: nn.Module, batches: Iterable[Tensor]) -> DataRun:
    running = RunningCopy(model, time.monotonic() + 60)
    return observe_drift(running, (Inputs((batch,)) for batch in batches), lambda _: None)


def own(found: DataRun) -> list[str]:
    return [path for path, drift in found.layers.items() if drift.own_distance is None or drift.own_distance > OWN_FAR]


def deployed(found: DataRun) -> list[str]:
    return [path for path, drift in found.layers.items() if drift.distance > FAR]


def test_statistics_of_the_same_data_fit(trained: ConvNet) -> None:
    found = observe(trained, images(4, seed=2))
    assert found.samples == 64
    assert list(found.layers) == ["bn1", "bn2"]
    assert deployed(found) == own(found) == []
    assert found.layers["bn1"].spread_ratio == pytest.approx(1, abs=0.1)


def test_scaled_inputs_make_every_layer_drift_and_the_first_is_the_cause(trained: ConvNet) -> None:
    found = observe(trained, images(4, seed=2, scale=255))
    assert deployed(found) == ["bn1", "bn2"]
    assert own(found) == ["bn1"]
    assert found.layers["bn1"].spread_ratio == pytest.approx(255, rel=0.1)


@pytest.mark.parametrize("wrong", ["bn1", "bn2"])
def test_one_overwritten_layer_is_the_one_found(trained: ConvNet, wrong: str) -> None:
    trained.get_submodule(wrong).running_var.fill_(400.0)
    found = observe(trained, images(4, seed=2))
    assert own(found) == [wrong]
    assert deployed(found)[0] == wrong


def test_weights_without_their_statistics_make_every_layer_drift_by_itself(trained: ConvNet) -> None:
    for weight in (trained.conv1.weight, trained.conv2.weight):
        weight.data.mul_(4)
    assert own(observe(trained, images(4, seed=2))) == ["bn1", "bn2"]


def test_one_channel_is_named(trained: ConvNet) -> None:
    trained.bn1.running_mean[5] += 50
    drift = observe(trained, images(4, seed=2)).layers["bn1"]
    assert drift.worst_channel == 5
    assert drift.worst_distance > 10
    assert drift.distance < FAR


def test_few_samples_say_nothing_and_batches_of_few_values_only_what_is_deployed(trained: ConvNet) -> None:
    few = observe(trained, [batch[:7] for batch in images(1, seed=2)])
    assert few.layers == {"bn1": None, "bn2": None}
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    found = observe(model.eval(), torch.randn(8, 4, 4) * 100)
    assert found.layers["1"].own_distance is None
    assert found.layers["1"].distance > FAR


def test_a_ragged_last_batch_and_an_infinite_loader_are_taken_as_they_come(trained: ConvNet) -> None:
    batches = images(3, seed=2)
    found = observe(trained, [*batches, batches[0][:1]])
    assert found.samples == 49
    assert own(found) == []


def test_a_frozen_batch_norm_is_not_compared_and_a_layer_not_reached_is_not_there(trained: ConvNet) -> None:
    class FrozenBatchNorm2d(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("running_mean", torch.zeros(3))
            self.register_buffer("running_var", torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return x

    model = nn.Sequential(FrozenBatchNorm2d(), trained)
    model.spare = nn.BatchNorm2d(3)
    model.forward = lambda x: trained(model[0](x))  # type: ignore[method-assign]
    assert list(observe(model, images(1, seed=2)).layers) == ["1.bn1", "1.bn2"]


def test_the_model_is_untouched(trained: ConvNet) -> None:
    before = snapshot(trained)
    observe(trained, images(2, seed=2))
    assert snapshot(trained) == before
