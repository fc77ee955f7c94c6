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
    "Conv2d": lambda: nn.Conv2d(4, 4, 1),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(4, 4, 1),
    "Embedding": lambda: nn.Embedding(4, 4),
    "PReLU": lambda: nn.PReLU(4),
    "AvgPool2d": lambda: nn.AvgPool2d(1),
    "Flatten": nn.Flatten,
}
OF_EVERY_MODULE = vars(nn.Module()).keys() - {"training"}
"""Attributes that torch looks at before any of the layer's own."""


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
            odd = with_attribute(LAYERS[kind](), name, value)
            torch.save(nn.Sequential(nn.BatchNorm2d(4), odd, nn.BatchNorm2d(4)), tmp_path / "model.pt")
            with contextlib.suppress(BnlintError):
                assert bnlint.check(tmp_path / "model.pt").coverage.form == "pickled_module", (name, value)


@pytest.mark.parametrize("name", sorted(OF_EVERY_MODULE - {"_modules"}))  # without that one torch.save itself fails
def test_a_module_without_what_every_module_has_ends_in_a_report(name: str, tmp_path: Path) -> None:
    # torch itself adds the tables that came later to modules of older files; the rest no file of torch lacks.
    conv = with_attribute(nn.Conv2d(4, 4, 1), name, MISSING)
    torch.save(nn.Sequential(conv, nn.BatchNorm2d(4)).eval(), tmp_path / "model.pt")
    assert bnlint.check(tmp_path / "model.pt").coverage.kinds == {"batch_norm": 1}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("kernel_size", MISSING, "which has no `kernel_size`"), ("in_channels", "x", "whose `in_channels` is a `str`"),
     ("_forward_hooks", MISSING, "which has no `_forward_hooks`")],
)  # fmt: skip
def test_the_report_says_which_attribute_does_not_fit(name: str, value: Any, why: str, tmp_path: Path) -> None:
    torch.save(nn.Sequential(with_attribute(nn.Conv2d(4, 4, 1), name, value), nn.BatchNorm2d(4)), tmp_path / "model.pt")
    said = " ".join(bnlint.check(tmp_path / "model.pt").coverage.notes)
    assert f"Not traced: `0` holds a `Conv2d`, {why}" in said


def test_what_people_pass_for_numbers_and_flags_fits(tmp_path: Path) -> None:
    layers = [nn.ReLU(inplace=1), nn.FractionalMaxPool2d(2, output_ratio=0.5), nn.Unflatten(1, (2, 2)), nn.Dropout(0)]  # type: ignore[arg-type]
    torch.save(nn.Sequential(*layers, nn.BatchNorm2d(4)), tmp_path / "model.pt")
    assert bnlint.check(tmp_path / "model.pt").coverage.graph != "none"


@pytest.mark.parametrize("size", [(-1, 2, 2), (1 << 62,) * 3, (True,), "x", ()])
def test_a_configuration_that_cannot_be_gives_no_input(size: Any, tmp_path: Path) -> None:
    model = with_attribute(nn.Sequential(nn.BatchNorm2d(4)), "pretrained_cfg", {"input_size": size})
    torch.save(model, tmp_path / "model.pt")
    assert bnlint.check(tmp_path / "model.pt").coverage.layers == 1


class Secretive(nn.Linear):
    @property
    def in_features(self) -> int:  # type: ignore[override]
        raise ValueError("not for everybody")

    @in_features.setter
    def in_features(self, value: int) -> None:
        pass


def test_a_property_of_an_admitted_class_may_raise(tmp_path: Path) -> None:
    torch.save(nn.Sequential(Secretive(4, 4), nn.BatchNorm1d(4)), tmp_path / "model.pt")
    said = " ".join(bnlint.check(tmp_path / "model.pt", allow="tests").coverage.notes)
    assert "whose `in_features` cannot be read (ValueError: not for everybody)" in said


def test_a_property_of_a_live_layer_may_raise() -> None:
    assert bnlint.check(nn.Sequential(Secretive(4, 4), nn.BatchNorm1d(4))).coverage.layers == 1
