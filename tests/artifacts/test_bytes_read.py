"""Of a file of any size little more is read than its normalisation layers: counted in bytes, not in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import bnlint
from tests.bytes_read import COUNTER, bytes_read
from tests.models import with_plausible_statistics

pytestmark = pytest.mark.skipif(not COUNTER.exists(), reason="only Linux counts the bytes that a thread reads")

LAYERS, CHANNELS = 20, 256
OF_NORMALISATION = LAYERS * (4 * CHANNELS * 4 + 8)
"""Bytes of two statistics, a scale and a shift in float32, and of a counter, in each layer."""

LIMIT = 2
"""Bytes that may be read for each byte of a normalisation tensor."""


class Unknown(nn.Module):
    """A class that is not importable when its file is read."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        for index in range(LAYERS):
            self.add_module(f"conv{index}", nn.Conv2d(CHANNELS, 8 * CHANNELS, kernel, groups=CHANNELS, bias=False))
            self.add_module(f"bn{index}", nn.BatchNorm2d(CHANNELS))


Save = Callable[[nn.Module, Path], object]
FORMS: dict[str, Save] = {
    "state_dict": lambda model, path: torch.save(model.state_dict(), path),
    "nested": lambda model, path: torch.save({"epoch": 3, "ema": {"module": model.state_dict()}}, path),
    "safetensors": lambda model, path: save_file(model.state_dict(), path),
    "whole": torch.save,
}


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], Path]:
    """Saves a model in a form, with convolutions of a size, as a class of a module that is gone afterwards."""

    def save(form: str, kernel: int) -> Path:
        path = tmp_path / f"{form}{kernel}"
        with monkeypatch.context() as there:
            there.setitem(sys.modules, "yonder", ModuleType("yonder"))
            there.setattr(sys.modules["yonder"], "Unknown", Unknown, raising=False)
            there.setattr(Unknown, "__module__", "yonder")
            FORMS[form](with_plausible_statistics(Unknown(kernel)), path)
        return path

    return save


@pytest.mark.parametrize("form", FORMS)
def test_little_more_is_read_than_normalisation_layers(form: str, saved: Callable[[str, int], Path]) -> None:
    path = saved(form, 7)
    assert path.stat().st_size > 50 * OF_NORMALISATION
    seen = bnlint.inspect(path)
    assert [facts.batches_counted for facts in seen.norms] == [1000] * LAYERS
    assert {facts.statistics_at_initial_values for facts in seen.norms} == {False}
    assert OF_NORMALISATION <= bytes_read(lambda: bnlint.inspect(path)) < LIMIT * OF_NORMALISATION


@pytest.mark.parametrize("form", FORMS)
def test_what_is_read_does_not_grow_with_the_file(form: str, saved: Callable[[str, int], Path]) -> None:
    small, large = saved(form, 1), saved(form, 7)
    assert large.stat().st_size > 15 * small.stat().st_size
    more = bytes_read(lambda: bnlint.inspect(large)) - bytes_read(lambda: bnlint.inspect(small))
    assert abs(more) < 1024  # longer numbers in the header
