"""Layers of torch in a file that lack attributes of their class, or have others: made live and traced, or not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bnlint
from bnlint.errors import BnlintError

MISSING = object()
VALUES = (MISSING, None, "x", -1, 1 << 62)
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "BatchNorm2d": lambda: nn.BatchNorm2d(4),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "LayerNorm": lambda: nn.LayerNorm(8),
    "Linear": lambda: nn.Linear(4, 4),
    "Dropout": nn.Dropout,
}
OF_EVERY_MODULE = vars(nn.Module()).keys() - {"training"}


def with_attribute(layer: nn.Module, name: str, value: Any) -> nn.Module:
    if value is MISSING:
        del layer.__dict__[name]
    else:
        layer.__dict__[name] = value
    return layer


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_with_odd_attributes_ends_in_a_report_or_a_sentence(kind: str, tmp_path: Path) -> None:
    for name in vars(LAYERS[kind]()).keys() - OF_EVERY_MODULE:
        for value in VALUES:
            model = nn.Sequential(nn.BatchNorm2d(4), with_attribute(LAYERS[kind](), name, value))
            torch.save(model, tmp_path / "model.pt")
            with contextlib.suppress(BnlintError):
                assert bnlint.check(tmp_path / "model.pt").coverage.form == "pickled_module", (name, value)


@pytest.mark.parametrize("size", [(-1, 2, 2), (1 << 62,) * 3, (True,), "x", ()])
def test_a_configuration_that_cannot_be_gives_no_input(size: Any, tmp_path: Path) -> None:
    model = with_attribute(nn.Sequential(nn.BatchNorm2d(4)), "pretrained_cfg", {"input_size": size})
    torch.save(model, tmp_path / "model.pt")
    assert bnlint.check(tmp_path / "model.pt").coverage.layers == 1
