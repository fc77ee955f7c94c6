"""The files that `benchmarks.saved_files` measures: convolutions with BatchNorm, of any number and any size."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import nn

from tests.models import with_plausible_statistics

CHANNELS: Final = 256
BYTES_OF_A_NORM: Final = CHANNELS * 4 * 4 + 8
"""Two statistics, a scale and a shift in float32, and the counter of batches."""

MODULE: Final = "yonder_model"
"""The module that the classes of a whole model are in; it is not importable where bnlint runs."""

_SOURCE: Final = """
from torch import nn


class Block(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)


class Model(nn.Module):
    def __init__(self, layers, channels, width):
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels, width) for _ in range(layers))
"""


def _save_safetensors(model: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(model.state_dict(), path)


FORMS: Final[Mapping[str, tuple[str, Callable[[nn.Module, Path], object]]]] = {
    "state_dict": (".pt", lambda model, path: torch.save(model.state_dict(), path)),
    "safetensors": (".safetensors", _save_safetensors),
    "whole model": (".pth", torch.save),
}
"""How each form is saved, and the suffix of its files."""


def write(form: str, folder: Path, size: int, layers: int) -> Path:
    """Save a model whose weights are zeros and whose statistics are not.

    Args:
        form: A key of `FORMS`.
        folder: Where to save it. The source of the classes is kept in a folder of its own there, see `classes`.
        size: Bytes of the file, about.
        layers: Number of convolutions, and of BatchNorm layers.

    Returns:
        The file.
    """
    classes(folder).mkdir(exist_ok=True)
    (classes(folder) / f"{MODULE}.py").write_text(_SOURCE, encoding="utf-8")
    sys.path.append(str(classes(folder)))
    try:
        made = importlib.import_module(MODULE)
    finally:
        sys.path.remove(str(classes(folder)))
    width = max(1, (size // layers - BYTES_OF_A_NORM) // (4 * CHANNELS))
    with torch.device("meta"):
        model = made.Model(layers, CHANNELS, width)
    for block in model.blocks:
        block.conv.weight = nn.Parameter(torch.zeros(width, CHANNELS, 1, 1))
        block.bn = nn.BatchNorm2d(CHANNELS)
    suffix, save = FORMS[form]
    path = folder / f"{form.replace(' ', '_')}-{size}-{layers}{suffix}"
    save(with_plausible_statistics(model), path)
    return path


def classes(folder: Path) -> Path:
    """The folder whose module defines the classes of a whole model, without which torch cannot load it."""
    return folder / "classes"
