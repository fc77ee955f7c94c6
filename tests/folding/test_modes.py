"""Training mode and dropout: folded or kept, the outputs are right."""

from __future__ import annotations

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.errors import NotAnalysedError, UsageError
from tests.folding.layers import SQUARE, conv, model_of
from tests.folding.proof import assert_kept, fold


def test_a_norm_left_in_training_mode() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8))
    model.bn.train()
    with pytest.raises(UsageError, match="bn is in training mode"):
        bnlint.fold(model, (SQUARE,))
    assert "training mode" in bnlint.plan(model, (SQUARE,)).kept[0].reason


def test_a_model_of_which_only_a_part_is_in_eval_mode() -> None:
    model = model_of(lambda m, x: m.second(m.first(x)), first=conv(), second=nn.Sequential(conv(), nn.BatchNorm2d(8)))
    model.train()
    model.second.eval()
    fold(model, SQUARE)


def test_a_norm_without_statistics() -> None:
    model = model_of(lambda m, x: m.bn(m.conv(x)), conv=conv(), bn=nn.BatchNorm2d(8, track_running_stats=False))
    assert_kept(model, SQUARE, words="no running statistics")


def test_a_function_that_always_trains() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        return F.batch_norm(m.conv(x), None, None, m.bn.weight, m.bn.bias, training=True)

    fold(model_of(compute, conv=conv(), bn=nn.BatchNorm2d(8)), SQUARE)


def test_active_dropout_between() -> None:
    model = model_of(lambda m, x: m.bn(m.between(m.conv(x))), conv=conv(), between=nn.Dropout(), bn=nn.BatchNorm2d(8))
    model.between.train()
    assert "dropout" in bnlint.plan(model, (SQUARE,)).kept[0].reason


def test_a_dropout_function_that_ignores_the_mode() -> None:
    model = model_of(lambda m, x: m.bn(F.dropout(m.conv(x))), conv=conv(), bn=nn.BatchNorm2d(8))
    assert "dropout" in bnlint.plan(model, (SQUARE,)).kept[0].reason


def test_active_dropout_behind_the_norm_leaves_nothing_to_prove() -> None:
    model = model_of(lambda m, x: F.dropout(m.bn(m.conv(x)), 0.5), conv=conv(), bn=nn.BatchNorm2d(8))
    with pytest.raises(NotAnalysedError, match=r"Dropout is active: tests/folding/test_modes\.py:\d+"):
        bnlint.fold(model, (SQUARE,))
