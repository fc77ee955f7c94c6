"""`--data` and `--run` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.cli.conftest import Run


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """A model whose statistics are those of numbers from 0 to 1."""
    layer = nn.BatchNorm2d(3).eval()
    layer.running_mean.fill_(1 / 2)
    layer.running_var.fill_(1 / 12)
    layer.num_batches_tracked.fill_(100)
    torch.save(nn.Sequential(layer), tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


@pytest.mark.parametrize(("scale", "code"), [(1, 0), (255, 1)])
def test_statistics_are_compared_with_a_file(saved: str, tmp_path: Path, run: Run, scale: int, code: int) -> None:
    torch.save(scale * torch.rand(48, 3, 8, 8), tmp_path / "data.pt")
    options = ("--trust", "--select", "BN510", "--format", "json", "--data", str(tmp_path / "data.pt"))
    ended = run("check", saved, *options)
    assert ended.code == code
    assert [finding["layers"] for finding in json.loads(ended.out)["findings"]] == ([["0"]] if code else [])


def test_what_was_selected_and_not_given_is_no_clean_report(saved: str, tmp_path: Path, run: Run) -> None:
    ended = run("check", saved, "--trust", "--select", "BN510", "--input", "2x3x8x8")
    assert ended.code == 3
    assert "--data FILE" in ended.err
    missing = run("check", saved, "--trust", "--data", str(tmp_path / "none.pt"))
    assert missing.code == 2
    assert "There is no file" in missing.err


def test_an_ordinary_report_has_one_quiet_line(saved: str, run: Run) -> None:
    ordinary = run("check", saved, "--trust", "--input", "2x3x8x8").out
    assert ordinary.count("opt-in") == 1
    assert "not run" not in ordinary
    assert "BN111" not in run("check", saved, "--trust", "--input", "2x3x8x8", "--run").out


def test_images_in_bytes_are_answered_with_what_to_do(tmp_path: Path, run: Run) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval(), tmp_path / "conv.pt")
    for channels, dtype in ((3, torch.uint8), (5, torch.float32)):
        torch.save(torch.zeros(48, channels, 8, 8, dtype=dtype), tmp_path / "data.pt")
        options = ("--trust", "--select", "BN510", "--data", str(tmp_path / "data.pt"))
        ended = run("check", str(tmp_path / "conv.pt"), *options)
        assert ended.code == 3
        hinted = "Convert the data to float as your preprocessing does." in " ".join((ended.out + ended.err).split())
        assert hinted is (dtype is torch.uint8)
