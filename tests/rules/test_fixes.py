"""The code that rules tell people to run does what it says."""

from __future__ import annotations

import textwrap
from typing import Any

import torch
from torch import nn

import bnlint
from bnlint.ruleset import find_rule, load_rules
from tests.models import ConvNet, with_plausible_statistics

RULES = load_rules()


def test_the_way_back_from_sync_batch_norm_changes_no_output() -> None:
    fix = find_rule(RULES, "BN604").fix
    names: dict[str, Any] = {"nn": nn}
    exec(textwrap.dedent(fix[fix.index("def without_sync") :]), names)
    plain = with_plausible_statistics(ConvNet()).eval()
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = plain(images)
    model = names["without_sync"](nn.SyncBatchNorm.convert_sync_batchnorm(plain))
    assert {type(layer) for layer in (model.bn1, model.bn2)} == {nn.BatchNorm2d}
    assert not model.bn1.training
    assert torch.equal(model(images), expected)
    assert bnlint.check(model, inputs=(images,), select="BN604").ok


def test_the_momentum_that_undoes_a_second_forward() -> None:
    """BN509 names `1 - (1 - momentum) ** 0.5`: two updates with it weigh a batch as one with the momentum does."""
    momentum = 1 - (1 - 0.1) ** 0.5
    assert "1 - (1 - layer.momentum) ** 0.5" in find_rule(RULES, "BN509").fix
    twice, once = nn.BatchNorm1d(3, momentum=momentum), nn.BatchNorm1d(3)
    for _ in range(5):
        batch = torch.randn(16, 3)
        twice(batch)
        twice(batch)
        once(batch)
    torch.testing.assert_close(twice.running_mean, once.running_mean)
    torch.testing.assert_close(twice.running_var, once.running_var)
