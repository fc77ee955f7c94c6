"""What is refused before a look, and what is said after it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import bnlint
from bnlint.errors import UsageError
from bnlint.looking.look import check_data


def test_data_that_cannot_be_had_are_refused(tmp_path: Path) -> None:
    (tmp_path / "batches.pt").touch()
    check_data(None, None)
    check_data(tmp_path / "batches.pt", 1)
    check_data([object()], None)
    with pytest.raises(UsageError, match=r"There is no file .*batch\.pt.*Did you mean .*batches\.pt"):
        check_data(str(tmp_path / "batch.pt"), None)
    with pytest.raises(UsageError, match="is 0, but at least one is needed"):
        check_data(tmp_path / "batches.pt", 0)
    with pytest.raises(UsageError, match="and no data"):
        check_data(None, 3)


def test_an_input_that_nothing_is_called_with_is_said(tmp_path: Path) -> None:
    model, x = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval(), torch.rand(2, 3, 4, 4)
    torch.save(model, tmp_path / "model.pt")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    torch.export.save(torch.export.export(model, (x,)), tmp_path / "program.pt2")

    def said(name: str, given: str | None) -> str:
        return " ".join(bnlint.check(tmp_path / name, inputs=given).coverage.notes)

    assert "The input was not used: nothing in a file" in said("weights.pt", "2x3x4x4")
    assert "The input was not used: a program keeps the sizes" in said("program.pt2", "2x3x4x4")
    for used in (said("model.pt", "2x3x4x4"), said("weights.pt", None), said("program.pt2", None)):
        assert "The input was not used" not in used
