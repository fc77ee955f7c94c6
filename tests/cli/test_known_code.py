"""Whole models in files that bnlint traces and folds without `--trust`, from code that is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.cli.conftest import Run
from tests.folding import models
from tests.models import with_plausible_statistics

SIZE = ("--input", "1x3x8x8")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a model of `torch.nn` alone, and one of a class of these tests."""
    monkeypatch.chdir(tmp_path)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    torch.save(with_plausible_statistics(plain).eval(), "plain.pt")
    torch.save(models.trained(), "model.pt")
    return tmp_path


def images() -> torch.Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("file", "options"), [("plain.pt", ()), ("model.pt", ("--allow", "tests"))])
def test_folding_and_verifying_without_trust(run: Run, file: str, options: tuple[str, ...]) -> None:
    original = torch.load(file, weights_only=False)
    ended = run("fold", file, *options, "-o", "folded.pt", *SIZE)
    assert ended.code == 0, ended.err
    folded = torch.load("folded.pt", weights_only=False)
    assert not any("BatchNorm" in type(module).__name__ for module in folded.modules())
    assert torch.allclose(folded(images()), original(images()), rtol=1e-4, atol=1e-5)
    ended = run("verify", "folded.pt", "--against", file, *options, *SIZE)
    assert ended.code == 0, ended.out + ended.err


def test_folding_over_the_file_that_the_tensors_are_mapped_from(run: Run) -> None:
    original = torch.load("plain.pt", weights_only=False)
    ended = run("fold", "plain.pt", "--in-place", *SIZE)
    assert ended.code == 0, ended.err
    folded = torch.load("plain.pt", weights_only=False)
    assert type(folded[1]) is nn.Identity
    assert torch.allclose(folded(images()), original(images()), rtol=1e-4, atol=1e-5)


def test_a_model_of_torch_alone_has_every_rule(run: Run) -> None:
    ended = run("check", "plain.pt", *SIZE)
    assert "traced with 1x3x8x8:float32" in ended.out
    assert "not run" not in ended.out


def test_what_a_foreign_class_takes_is_said(run: Run) -> None:
    ended = run("check", "model.pt", *SIZE)
    text = " ".join(ended.out.split())
    assert "`--allow tests` lets bnlint import that package and trace the model." in text
    assert run("check", "model.pt", "--allow", "tests", *SIZE).out.count("not traced") == 0
    refused = run("fold", "model.pt", "-o", "folded.pt", *SIZE)
    assert refused.code == 3
    assert "`--allow tests`" in refused.err
    assert not Path("folded.pt").exists()


@pytest.mark.parametrize(
    ("name", "words"), [("os", "part of Python"), ("torch", "cannot be admitted"), ("a-b", "no name of a package")]
)
def test_what_cannot_be_admitted(run: Run, name: str, words: str) -> None:
    ended = run("check", "model.pt", "--allow", name)
    assert ended.code == 2
    assert words in ended.err


def test_a_package_that_the_file_does_not_use_is_noted(run: Run) -> None:
    sentence = "is of a class from `timm`, which `--allow` names."
    assert sentence in " ".join(run("check", "plain.pt", "--allow", "timm", *SIZE).out.split())
    assert "which `--allow` names" not in " ".join(run("check", "model.pt", "--allow", "tests", *SIZE).out.split())
