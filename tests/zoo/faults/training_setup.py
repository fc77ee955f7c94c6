"""BN3xx: a training set-up that gives BatchNorm too little."""

from __future__ import annotations

from typing import Any

from torch import nn

from tests.models import with_plausible_statistics
from tests.zoo.faults.fault import EVERYWHERE, TRAINING, Fault, synchronised


def leave(_: nn.Module) -> None:
    """The model is as it should be; the set-up is not."""


def hidden_layer(model: Any) -> None:
    """A head with a hidden layer and BatchNorm1d, behind global pooling."""
    norm = with_plausible_statistics(nn.BatchNorm1d(64))
    model.fc = nn.Sequential(nn.Linear(512, 64, bias=False), norm, nn.ReLU(), nn.Linear(64, 10))


def synchronised_but(name: str) -> Any:
    """SyncBatchNorm everywhere except in one of its modules."""

    def seed(model: Any) -> None:
        for child_name, child in list(model.named_children()):
            if child_name != name:
                setattr(model, child_name, synchronised(child))

    return seed


def declared(**setup: Any) -> dict[str, Any]:
    return {**TRAINING, **setup}


SMALL = frozenset({"BN301"})
AT_64, AT_512 = ("1x3x64x64",), ("1x3x512x512",)

SETUP = (
    # 64×64 pixels leave 8×8, 4×4 and 2×2; 784 values are 16 samples of 7×7
    Fault(
        "BN301",
        "resnet18",
        "4 samples of 64×64",
        leave,
        ("layer2", "layer3", "layer4"),
        declared(batch_size=4, inputs=AT_64),
    ),
    Fault(
        "BN301",
        "mobilenet_v2",
        "4 samples of 224×224",
        leave,
        ("features.14.conv.1.1", "features.14.conv.3", "features.15", "features.16", "features.17", "features.18"),
        declared(batch_size=4, inputs=("1x3x224x224",)),
    ),
    Fault(
        "BN301",
        "vgg11_bn",
        "2 samples of 224×224",
        leave,
        ("features.23", "features.26"),
        declared(batch_size=2, inputs=("1x3x224x224",)),
    ),
    Fault(
        "BN302",
        "deeplabv3_mobilenet_v3_large",
        "a batch of 1, and a branch that pools",
        leave,
        ("classifier.0.convs.4.2",),
        declared(batch_size=1, inputs=AT_512),
    ),
    Fault(
        "BN302",
        "deeplabv3_resnet50",
        "a batch of 1, and a branch that pools",
        leave,
        ("classifier.0.convs.4.2",),
        declared(batch_size=1, inputs=AT_512),
    ),
    Fault(
        "BN302",
        "resnet18",
        "a batch of 1, and a hidden layer behind the pooling",
        hidden_layer,
        ("fc.1",),
        declared(batch_size=1, inputs=("1x3x1024x1024",)),
    ),
    Fault(
        "BN303",
        "resnet18",
        "64 samples, the last batch has 1",
        hidden_layer,
        ("layer3", "layer4", "fc.1"),
        declared(batch_size=64, dataset_size=50_049, inputs=("1x3x224x224",)),
    ),
    Fault(
        "BN303",
        "deeplabv3_mobilenet_v3_large",
        "16 samples, the last batch has 1",
        leave,
        ("classifier.0.convs.4.2",),
        declared(batch_size=16, dataset_size=10_001, inputs=AT_512),
    ),
    Fault(
        "BN303",
        "mobilenet_v2",
        "32 samples, 4 devices, the last batch has 2",
        leave,
        ("features.7.conv.1.1", "features.7.conv.3", *(f"features.{block}" for block in range(8, 19))),
        declared(batch_size=32, devices=4, dataset_size=50_056, inputs=("1x3x224x224",)),
    ),
    Fault(
        "BN304",
        "resnet18",
        "2 samples on each of 8 devices",
        leave,
        ("layer3", "layer4"),
        declared(batch_size=2, devices=8, inputs=("1x3x224x224",)),
    ),
    Fault(
        "BN304",
        "deeplabv3_mobilenet_v3_large",
        "2 crops on each of 4 devices",
        leave,
        ("classifier.0.convs.4.2",),
        declared(batch_size=2, devices=4, inputs=AT_512),
    ),
    Fault(
        "BN304",
        "resnet50",
        "SyncBatchNorm on 8 devices, except in the last stage",
        synchronised_but("layer4"),
        ("layer4",),
        declared(batch_size=2, devices=8, inputs=("1x3x224x224",)),
    ),
    Fault(
        "BN305",
        "vgg11_bn",
        "8 samples, 4 batches to a step",
        leave,
        EVERYWHERE,
        declared(batch_size=8, accumulate=4, inputs=("1x3x224x224",)),
    ),
    Fault(
        "BN305",
        "resnet18",
        "4 samples, 8 batches to a step",
        leave,
        EVERYWHERE,
        declared(batch_size=4, accumulate=8, inputs=AT_512),
    ),
    Fault(
        "BN305",
        "mobilenet_v2",
        "4 samples, 16 batches to a step",
        leave,
        EVERYWHERE,
        declared(batch_size=4, accumulate=16, inputs=AT_512),
    ),
)
