"""BN4xx: BatchNorm in sequence models."""

from __future__ import annotations

from typing import Any

from torch import nn

from tests.models import with_plausible_statistics
from tests.zoo.faults.fault import Fault, swap
from tests.zoo.sequence_models import over_tokens


def leave(_: nn.Module) -> None:
    """The published model has it."""


def batch_norm() -> nn.Module:
    return with_plausible_statistics(nn.BatchNorm1d(16)).eval()


def tokens(*paths: str) -> Any:
    """BatchNorm1d over tokens in the place of LayerNorm."""

    def seed(model: nn.Module) -> None:
        for path in paths:
            swap(model, path, lambda _: over_tokens(batch_norm()).eval())

    return seed


def channels(*paths: str) -> Any:
    """BatchNorm1d where a convolution has put the channels first."""

    def seed(model: nn.Module) -> None:
        for path in paths:
            swap(model, path, lambda _: batch_norm())

    return seed


TEXT: dict[str, Any] = {"inputs": ("2x12:int64",)}
SERIES: dict[str, Any] = {"inputs": ("4x3x96",)}
SPEECH: dict[str, Any] = {"inputs": ("2x12x16",)}
LINES: dict[str, Any] = {"inputs": ("2x1x16x24",)}
BOTH = frozenset({"BN401"})

SEQUENCES = (
    Fault(
        "BN401",
        "text transformer",
        "BatchNorm over tokens in one layer",
        tokens("layers.0.norm1"),
        ("layers.0.norm1",),
        TEXT,
    ),
    Fault(
        "BN401",
        "text transformer",
        "BatchNorm over tokens everywhere",
        tokens(*(f"layers.{i}.norm{j}" for i in (0, 1) for j in (1, 2))),
        ("layers",),
        TEXT,
    ),
    Fault("BN401", "PatchTST", "as published", leave, ("layers",), SERIES),
    Fault("BN401", "GRU tagger", "BatchNorm over time steps", leave, ("norm",), TEXT),
    Fault("BN401", "CRNN", "BatchNorm over the steps of an LSTM", tokens("norm"), ("norm",), LINES),
    Fault(
        "BN402",
        "text transformer",
        "padded tokens reach a BatchNorm",
        tokens("layers.1.norm2"),
        ("layers.1.norm2",),
        TEXT | {"padding": ("tokens=1:0",)},
        BOTH,
    ),
    Fault(
        "BN402",
        "GRU tagger",
        "padded steps reach a BatchNorm",
        leave,
        ("norm",),
        TEXT | {"padding": ("tokens=1:0",)},
        BOTH,
    ),
    Fault(
        "BN402",
        "text convolutions",
        "padded tokens reach two BatchNorm layers",
        channels("norm1", "norm2"),
        ("norm1", "norm2"),
        TEXT | {"padding": ("tokens=1:0",)},
    ),
    Fault(
        "BN402",
        "Conformer block",
        "padded frames reach a GroupNorm",
        leave,
        ("norm",),
        SPEECH | {"padding": ("x=1:0",)},
    ),
    Fault(
        "BN403", "text convolutions", "BatchNorm after a convolution over tokens", channels("norm1"), ("norm1",), TEXT
    ),
    Fault(
        "BN403",
        "text convolutions",
        "BatchNorm after both convolutions",
        channels("norm1", "norm2"),
        ("norm1", "norm2"),
        TEXT,
    ),
    Fault("BN403", "Conformer block", "BatchNorm in the convolution module", channels("norm"), ("norm",), SPEECH),
)
