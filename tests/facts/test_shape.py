"""How many values each channel is normalised over."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bnlint
from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN
from tests.models import ConvNet, PooledBranch, RecurrentTokens


def facts(model: nn.Module, inputs: Any, batch_size: int | None = None) -> dict[str, NormFacts]:
    table = bnlint.inspect(model.eval(), inputs=inputs, batch_size=batch_size)
    return {record.layer: record for record in table.norms}


LAYERS = [
    (nn.BatchNorm1d(5), "4x5", 1, 1),
    (nn.BatchNorm1d(5), "4x5x7", 1, 7),
    (nn.BatchNorm2d(5), "4x5x7x3", 1, 21),
    (nn.BatchNorm2d(5), "4x5x1x1", 1, 1),
    (nn.BatchNorm3d(5), "4x5x2x7x3", 1, 42),
    (nn.SyncBatchNorm(5), "4x5x7x3", 1, 21),
    (nn.InstanceNorm2d(5), "4x5x7x3", 1, None),
    (nn.GroupNorm(5, 5), "4x5x7x3", 1, None),
    (nn.LayerNorm(3), "4x5x3", 2, None),
    (nn.RMSNorm(3), "4x5x3", 2, None),
]


@pytest.mark.parametrize(
    ("layer", "shape", "axis", "per_sample"),
    LAYERS,
    ids=[f"{type(layer).__name__}-{shape}" for layer, shape, _, _ in LAYERS],
)
def test_the_values_of_one_sample(layer: nn.Module, shape: str, axis: int, per_sample: int | None) -> None:
    (record,) = facts(nn.Sequential(layer), (shape,), batch_size=6).values()
    assert record.input_shape == tuple(map(int, shape.split("x")))
    assert record.channel_axis == axis
    assert record.values_per_sample == per_sample
    assert record.values_per_channel == (None if per_sample is None else 6 * per_sample)


def test_without_a_declared_batch_the_values_of_a_batch_are_unknown() -> None:
    record = facts(ConvNet(), ("2x3x8x8",))["bn1"]
    assert record.values_per_sample == 64
    assert record.values_per_channel is UNKNOWN
    assert record.batch_size is UNKNOWN


@pytest.mark.parametrize("traced", [1, 2, 5])
def test_the_batch_of_the_traced_run_does_not_matter(traced: int) -> None:
    records = facts(PooledBranch(), (f"{traced}x3x8x8",), batch_size=4)
    assert (records["bn"].values_per_sample, records["bn"].values_per_channel) == (64, 256)
    assert (records["pooled_bn"].values_per_sample, records["pooled_bn"].values_per_channel) == (1, 4)


def test_the_steps_of_a_sequence_are_values() -> None:
    assert facts(RecurrentTokens(), ("3x9x6",), batch_size=2)["bn"].values_per_channel == 18


class Folded(nn.Module):
    """Puts the frames of each clip into the batch: a sample brings as many rows as it has frames."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, clips: Tensor) -> Tensor:
        return self.bn(self.conv(clips.flatten(0, 1)))


def test_frames_in_the_batch_axis_count_for_their_sample() -> None:
    assert facts(Folded(), ("2x5x3x8x8",))["bn"].values_per_sample == 5 * 64


class FixedQueries(nn.Module):
    """What it normalises does not come from the samples: three rows whatever the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.queries, self.bn = nn.Parameter(torch.randn(3, 4)), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.bn(self.queries).mT


def test_rows_that_do_not_divide_by_the_batch_are_unknown() -> None:
    assert facts(FixedQueries(), ("2x4",))["bn"].values_per_sample is UNKNOWN


def test_several_inputs_without_a_common_batch_axis_leave_it_unknown() -> None:
    class TwoAxes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm1d(4)

        def forward(self, x: Tensor, weight: Tensor) -> Tensor:
            return self.bn(x @ weight)

    assert facts(TwoAxes(), ("2x3", "3x4"))["bn"].values_per_sample is UNKNOWN


def test_traffic_is_two_accesses_for_each_value_of_the_input() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)).eval()
    for scale, dtype in ((4, torch.float32), (8, torch.float64)):
        record = bnlint.inspect(model.to(dtype), inputs=(torch.zeros(2, 3, 4, 4, dtype=dtype),)).norms[0]
        assert record.traffic_megabytes == pytest.approx(2 * (2 * 8 * 4 * 4) * scale / 1e6)
