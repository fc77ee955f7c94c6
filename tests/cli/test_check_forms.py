"""Weights of an import string in every form, and what no form holds; the same faults in every form: `tests/parity/`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import bnlint
from tests.models import ConvNet, with_plausible_statistics
from tests.parity.forms import FORMS

IMAGE = torch.zeros(2, 3, 8, 8)


def network() -> nn.Module:
    model = with_plausible_statistics(ConvNet()).eval()
    model.bn2.running_var[0] = -1.0
    return model


def test_of_a_distributed_checkpoint_only_normalisation_layers_are_read(tmp_path: Path) -> None:
    path = FORMS["distributed checkpoint"].write(network(), IMAGE, tmp_path)
    with pytest.raises(bnlint.NotAnalysedError, match="only normalisation layers are read"):
        bnlint.check("tests.models:ConvNet", weights=path)


@pytest.mark.parametrize("form", ["sharded safetensors", "sharded bin", "Hugging Face folder"])
def test_weights_come_from_every_form(form: str, tmp_path: Path) -> None:
    path = FORMS[form].write(network(), IMAGE, tmp_path)
    report = bnlint.check("tests.models:ConvNet", weights=path, select="BN503")
    assert [finding.layers for finding in report.findings] == [("bn2",)]


@pytest.mark.parametrize("target", [{}, 3, None])
def test_what_is_no_target_is_one_sentence(target: object) -> None:
    with pytest.raises(bnlint.UsageError, match=r"^The target is a "):
        bnlint.check(target)  # type: ignore[arg-type]
