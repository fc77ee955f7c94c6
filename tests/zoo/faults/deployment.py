"""BN6xx: models that are not ready for deployment, or for training in half precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tests.models import with_plausible_statistics
from tests.zoo.faults.fault import EVERYWHERE, TRAINING, Fault, at, norms_in, swap, synchronised
from tests.zoo.faults.statistics import channel, filled


def leave(_: nn.Module) -> None:
    """The published model has it."""


def hook(path: str) -> Any:
    """A forward hook on a convolution, which sees what folding would change."""
    return lambda model: at(model, path).register_forward_hook(lambda *_: None)


def tie(first: str, second: str) -> Any:
    """Two convolutions with one weight."""

    def seed(model: nn.Module) -> None:
        at(model, second).weight = at(model, first).weight

    return seed


def synchronise(model: nn.Module) -> None:
    """SyncBatchNorm in the place of every BatchNorm."""
    synchronised(model)


def synchronise_one(path: str) -> Any:
    """SyncBatchNorm in the place of one BatchNorm."""
    return lambda model: swap(
        model, path, lambda norm: with_plausible_statistics(nn.SyncBatchNorm(norm.num_features)).train(norm.training)
    )


HALF = {"deploy_dtype": "float16"}

DEPLOYMENT = (
    Fault("BN601", "resnet18", "every BatchNorm follows a convolution", leave, EVERYWHERE),
    Fault("BN601", "mobilenet_v2", "every BatchNorm follows a convolution", leave, EVERYWHERE),
    Fault("BN601", "regnetx_002", "every BatchNorm follows a convolution", leave, EVERYWHERE),
    Fault("BN602", "resnet18", "a forward hook on a convolution", hook("layer1.0.conv2"), ("layer1.0.bn2",)),
    Fault(
        "BN602",
        "vgg11_bn",
        "a hook on two convolutions",
        lambda m: (hook("features.0")(m), hook("features.4")(m)),
        ("features.1", "features.5"),
    ),
    Fault(
        "BN602",
        "resnet50",
        "two convolutions share a weight",
        tie("layer1.1.conv2", "layer1.2.conv2"),
        ("layer1.1.bn2", "layer1.2.bn2"),
    ),
    Fault("BN603", "resnet18", "a variance of 1e5, for float16", channel("bn1", "running_var", 1e5), ("bn1",), HALF),
    Fault(
        "BN603",
        "mobilenet_v2",
        "an eps and a variance that float16 turns into 0",
        filled("features.2.conv.0.1", eps=1e-12, running_var=1e-9),
        ("features.2.conv.0.1",),
        HALF,
    ),
    Fault(
        "BN603",
        "vgg11_bn",
        "means of pixels that nobody scaled",
        filled("features.1", running_mean=7e4),
        ("features.1",),
        HALF,
    ),
    Fault("BN604", "resnet18", "converted for training with several processes", synchronise, EVERYWHERE),
    Fault("BN604", "mobilenet_v3_small", "converted for training with several processes", synchronise, EVERYWHERE),
    Fault("BN604", "regnetx_002", "one layer", synchronise_one("stem.bn"), ("stem.bn",)),
    Fault("BN605", "resnet18", "the whole model in float16", lambda m: m.half(), EVERYWHERE, TRAINING),
    Fault("BN605", "mobilenet_v2", "the whole model in bfloat16", lambda m: m.to(torch.bfloat16), EVERYWHERE, TRAINING),
    Fault(
        "BN605",
        "vgg11_bn",
        "BatchNorm layers alone in float16",
        lambda m: [layer.half() for layer in norms_in(m, "features")],
        EVERYWHERE,
        TRAINING,
    ),
)
