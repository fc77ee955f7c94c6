"""One model for each module file of timm that uses BatchNorm: the smallest by parameters.

Run `python -m tests.zoo.families` for the same list from the installed timm; it builds every model without weights.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import tests.torchvision_ops  # noqa: F401 - before timm

timm = pytest.importorskip("timm")

FAMILIES = {
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "convmixer": "convmixer_768_32",
    "cpubone": "cpubone_nano",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "maxxvit": "test_coatnet",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilevit": "mobilevit_xxs",
    "nasnet": "nasnetalarge",
    "nextvit": "nextvit_small",
    "pnasnet": "pnasnet5large",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "tiny_vit": "tiny_vit_5m_224",
    "tresnet": "tresnet_m",
    "vgg": "vgg11_bn",
    "visformer": "visformer_tiny",
    "vision_transformer_hybrid": "vit_small_resnet50d_s16_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
"""timm 1.0.31: name of the module file to name of the model."""

HARDEST = (
    "levit_conv_128s", "xcit_nano_12_p16_224", "maxvit_pico_rw_256", "test_maxvit", "ghostnetv3_050",
    "mobilevitv2_050", "cspresnet50", "mobileone_s0", "repvgg_a0", "lambda_resnet26t", "botnet26t_256",
    "mobilenetv4_hybrid_medium",
)  # fmt: skip
"""Models whose code was hard to trace for other tools, beside `levit`, `efficientformer` and `halonet_h1` above."""

SIDES = {
    "botnet26t_256": 256, "efficientformer_l1": 224, "efficientformerv2_s0": 224, "halonet_h1": 256,
    "inception_resnet_v2": 96, "inception_v3": 96, "inception_v4": 96, "levit_128s": 224, "levit_conv_128s": 224,
    "maxvit_pico_rw_256": 256, "nasnetalarge": 96, "pnasnet5large": 96, "test_coatnet": 160, "test_maxvit": 160,
    "visformer_tiny": 224, "vit_small_resnet50d_s16_224": 224, "volo_d1_224": 224,
}  # fmt: skip
"""Height and width in pixels for the models that do not accept 64."""


def small_images(name: str) -> Tensor:
    """Two random images, as small as the model accepts."""
    side = SIDES.get(name, 64)
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def without_weights(name: str) -> nn.Module:
    """A model of timm on the meta device, in eval mode."""
    with torch.device("meta"):
        model: nn.Module = timm.create_model(name)
    return model.eval()


def own_images(model: nn.Module) -> Tensor:
    """Two images of the size that a model of timm was published for, on the meta device."""
    configuration: Any = model.pretrained_cfg
    return torch.empty(2, *configuration["input_size"], device="meta")


def batch_norms(model: nn.Module) -> set[str]:
    """Paths of the BatchNorm layers."""
    return {path for path, layer in model.named_modules() if isinstance(layer, _BatchNorm)}


def smallest_with_batch_norm(family: str) -> str | None:
    """The model of a module file that has BatchNorm layers and the fewest parameters, `None` where none has any."""
    sizes = []
    for name in timm.list_models(module=family):
        model = without_weights(name)
        if batch_norms(model):
            sizes.append((sum(parameter.numel() for parameter in model.parameters()), name))
    return min(sizes)[1] if sizes else None


if __name__ == "__main__":
    for module in timm.list_modules():
        found = smallest_with_batch_norm(module)
        if found is not None:
            print(f'    "{module}": "{found}",')  # noqa: T201
