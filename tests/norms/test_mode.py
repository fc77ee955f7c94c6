"""What decides whether a normalisation uses the values at hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bnlint.norms.classes import is_named_norm, module_uses_batch_statistics, norm_kind
from bnlint.norms.kinds import NormKind
from bnlint.norms.mode import uses_batch_statistics
from bnlint.norms.onnx import training


@pytest.mark.parametrize(
    ("kind", "flag", "statistics", "uses"),
    [
        (NormKind.BATCH, True, True, True),
        (NormKind.BATCH, False, True, False),
        (NormKind.BATCH, None, True, None),
        (NormKind.BATCH, False, False, True),
        (NormKind.BATCH, None, False, True),
        (NormKind.BATCH, False, None, None),
        (NormKind.BATCH, True, None, True),
        (NormKind.INSTANCE, False, True, False),
        (NormKind.INSTANCE, False, False, True),
        (NormKind.LAYER, False, True, True),
        (NormKind.RMS, None, None, True),
    ],
)
def test_kind_flag_and_statistics_decide(
    kind: NormKind, flag: bool | None, statistics: bool | None, uses: bool | None
) -> None:
    assert uses_batch_statistics(kind, training=flag, statistics=statistics) is uses


LAYERS = {
    "tracking": lambda: nn.BatchNorm2d(3),
    "stateless": lambda: nn.BatchNorm2d(3, track_running_stats=False),
    "instance": lambda: nn.InstanceNorm2d(3),
    "tracking instance": lambda: nn.InstanceNorm2d(3, track_running_stats=True),
    "group": lambda: nn.GroupNorm(1, 3),
    "scripted": lambda: torch.jit.script(nn.BatchNorm2d(3)),
    "scripted stateless": lambda: torch.jit.script(nn.BatchNorm2d(3, track_running_stats=False)),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_torch_does_what_is_said(name: str, mode: bool) -> None:
    layer = LAYERS[name]().train(mode)
    kind = norm_kind(layer)
    assert kind is not None
    batch = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 3 + 2
    looked = not torch.allclose(layer(batch), batch, atol=1e-3)
    assert module_uses_batch_statistics(layer, kind) is looked


class BatchNorm(nn.Module):
    """A BatchNorm by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(3))
        self.register_buffer("running_var", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x


class FrozenBatchNorm(BatchNorm):
    """A frozen one."""


def test_a_flag_is_not_believed_of_a_class_that_is_a_batch_norm_by_name() -> None:
    assert is_named_norm(BatchNorm())
    assert module_uses_batch_statistics(BatchNorm().train(), NormKind.BATCH) is True
    assert module_uses_batch_statistics(BatchNorm().eval(), NormKind.BATCH) is None
    assert [module_uses_batch_statistics(FrozenBatchNorm().train(mode), NormKind.BATCH) for mode in (True, False)] == [
        False, False,
    ]  # fmt: skip
    assert not is_named_norm(nn.BatchNorm2d(3))
    assert not is_named_norm(nn.Conv2d(3, 3, 1))


@pytest.mark.parametrize(
    ("attributes", "outputs", "opset", "trains"),
    [
        ({"training_mode": 1}, 3, 15, True),
        ({}, 1, 15, False),
        ({"training_mode": 0}, 5, 9, False),
        ({}, 5, 9, True),
        ({}, 1, 9, False),
        ({"is_test": 1}, 1, 6, False),
        ({}, 5, 6, True),
        ({"is_test": 1}, 5, 6, None),
    ],
)
def test_the_mode_of_a_batch_normalization_by_version(
    attributes: dict[str, object], outputs: int, opset: int, trains: bool | None
) -> None:
    assert training(attributes, outputs, opset) is trains
