"""Published models in good health get no error and no warning, in inference and in training.

One model of each family of timm and a few of torchvision; `make zoo` looks at all of them.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import bnlint
import tests.torchvision_ops  # noqa: F401 - before torchvision and timm
from bnlint.report import Severity
from tests.zoo.families import FAMILIES, without_weights
from tests.zoo.healthy import TRAINING, healthy

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")

TIMM = (*FAMILIES.values(), "resnet50", "efficientnet_b0", "mobilenetv3_small_100", "resnetv2_50")

VISION = (
    "deeplabv3_mobilenet_v3_large", "googlenet", "mnasnet0_5", "r3d_18", "raft_small", "mobilenet_v2",
    "shufflenet_v2_x0_5",
)  # fmt: skip

ADVICE = frozenset({"BN201", "BN203", "BN205", "BN601", "BN602"})
"""What the catalogue says of good models too."""

AFTER_ACTIVATION = frozenset({"convmixer_768_32", "xcit_nano_12_p8_224"})
"""ConvMixer and XCiT put BatchNorm after the activation on purpose."""


def uncalled(name: str, context: str) -> bool:
    """Auxiliary heads run in training only."""
    return name == "googlenet" and context == "inference"


def model_of(name: str) -> nn.Module:
    if name not in VISION:
        return healthy(without_weights(name))
    own = {"weights_backbone": None} if "deeplab" in name else {"init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        return healthy(torchvision.models.get_model(name, **own))


@pytest.mark.parametrize("name", [*TIMM, *VISION])
def test_a_healthy_published_model_gets_advice_at_most(name: str) -> None:
    model = model_of(name)
    contexts: tuple[tuple[bool, dict[str, Any]], ...] = ((False, {"context": "inference"}), (True, TRAINING))
    for training, declared in contexts:
        report = bnlint.check(model.train(training), **declared)
        assert report.coverage.graph == "recorded"
        assert [item for item in report.not_run if not item.opt_in] == []
        assert [finding for finding in report.findings if finding.severity is not Severity.INFO] == []
        codes = {finding.code for finding in report.findings}
        assert codes <= ADVICE
        assert ("BN201" in codes) == (name in AFTER_ACTIVATION)
        assert ("BN205" in codes) == uncalled(name, declared["context"])
