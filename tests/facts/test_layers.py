"""What the module tree alone says of a layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bnlint.facts.layers import configuration
from bnlint.norms.classes import computes_by_hand


class NaiveSyncBatchNorm(nn.BatchNorm2d):
    pass


@pytest.mark.parametrize(
    ("layer", "expected"),
    [(nn.SyncBatchNorm(4), True), (NaiveSyncBatchNorm(4), True), (nn.BatchNorm2d(4), False), (nn.LayerNorm(4), False)],
    ids=lambda value: type(value).__name__,
)
def test_which_layers_take_statistics_from_all_devices(layer: nn.Module, expected: bool) -> None:
    assert configuration(layer)["synchronised"] is expected


def test_a_layer_is_frozen_when_all_of_its_parameters_are() -> None:
    layer = nn.BatchNorm1d(4)
    assert configuration(layer)["parameters_frozen"] is False
    layer.weight.requires_grad_(False)
    assert configuration(layer)["parameters_frozen"] is False
    layer.requires_grad_(False)
    assert configuration(layer)["parameters_frozen"] is True


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4, affine=False), nn.InstanceNorm1d(4)], ids=["batch", "instance"])
def test_a_layer_without_parameters_has_none_to_freeze(layer: nn.Module) -> None:
    assert configuration(layer)["parameters_frozen"] is None


class OwnRMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [(nn.BatchNorm2d(4), False), (nn.LayerNorm(4), False), (nn.RMSNorm(4), False), (OwnRMSNorm(), True)],
    ids=lambda value: type(value).__name__,
)
def test_which_classes_do_the_arithmetic_themselves(layer: nn.Module, expected: bool) -> None:
    assert computes_by_hand(layer) is expected
