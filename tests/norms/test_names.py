"""What the names of classes and of layers say."""

from __future__ import annotations

import pytest

from bnlint.norms.kinds import NormKind
from bnlint.norms.names import is_frozen_by_name, is_of_torch, kind_by_name, kind_of_path, says_norm


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BatchNorm2d", NormKind.BATCH),
        ("SynchronizedBatchNorm1d", NormKind.BATCH),
        ("BatchNormAct2d", NormKind.BATCH),
        ("FrozenBatchNorm2d", NormKind.BATCH),
        ("PerStepBatchNorm", NormKind.BATCH),
        ("LlamaRMSNorm", NormKind.RMS),
        ("T5LayerNorm", NormKind.LAYER),
        ("InstanceNorm3d", NormKind.INSTANCE),
        ("GroupNorm", NormKind.GROUP),
        ("BatchNormalizer", None),
        ("Linear", None),
    ],
)
def test_names_of_classes(name: str, kind: NormKind | None) -> None:
    assert kind_by_name(name) is kind


@pytest.mark.parametrize(
    ("path", "kind", "norm"),
    [
        ("layer1.0.bn1", NormKind.BATCH, True),
        ("encoder.ln_2", NormKind.LAYER, True),
        ("blocks.3.norm1", None, True),
        ("features.0", None, False),
        ("weight_norm", None, False),
    ],
)
def test_names_of_layers(path: str, kind: NormKind | None, norm: bool) -> None:
    assert (kind_of_path(path), says_norm(path)) == (kind, norm)


def test_frozen_and_of_torch() -> None:
    assert is_frozen_by_name("FrozenBatchNorm2d")
    assert not is_frozen_by_name("BatchNorm2d")
    assert is_of_torch("torch.nn.modules.batchnorm.BatchNorm2d")
    assert not is_of_torch("torchvision.ops.misc.FrozenBatchNorm2d")
