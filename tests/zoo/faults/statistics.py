"""BN5xx: running statistics, scales and settings that are wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.faults.fault import EVERYWHERE, TRAINING, Fault, at, like, norms_in, put, swap

INITIAL: dict[str, Any] = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0}
BLOCK = ("features.denseblock2",)
FRESH: dict[str, Any] = INITIAL | {"weight": 1.0, "bias": 0.0}


def initial(*paths: str) -> Any:
    """Layers as they are built."""
    return lambda model: put(norms_in(model, *paths), **FRESH)


def filled(path: str, **values: Any) -> Any:
    """Every channel of the layers inside a path."""
    return lambda model: put(norms_in(model, path), **values)


def deleted(path: str) -> Any:
    """The running variances of the layers inside a path, deleted."""

    def seed(model: nn.Module) -> None:
        for layer in norms_in(model, path):
            del layer.running_var

    return seed


def channel(path: str, tensor: str, value: float, channels: slice | int = 0) -> Any:
    """Some channels of one layer."""

    def seed(model: nn.Module) -> None:
        getattr(at(model, path), tensor).data[channels] = value

    return seed


def images(count: int = 4, scale: float = 1.0) -> list[Tensor]:
    """Batches of 16 images of 64×64, reproducible."""
    generator = torch.Generator().manual_seed(0)
    return [scale * torch.rand(16, 3, 64, 64, generator=generator) for _ in range(count)]


def trained(model: Any) -> None:
    """The statistics of its own data, as the exact average over these batches."""
    put(norms_in(model), momentum=None, num_batches_tracked=0)
    model.train()
    with torch.no_grad():
        for batch in images():
            model(batch)
    put(norms_in(model), momentum=0.1)
    model.eval()


def trained_then(seed: Any) -> Any:
    """The fault, on a model whose statistics fit the data."""

    def both(model: Any) -> None:
        trained(model)
        seed(model)

    return both


def exponential(model: Any) -> None:
    """Other weights than those for which the statistics were taken, as an average over training without buffers has."""
    at(model, "conv1.0").weight.data.mul_(3)


DATA = {"data": images(), "inputs": ("2x3x64x64",), "run": False}
RAW = {"data": images(scale=255), "inputs": ("2x3x64x64",), "run": False}
TWICE = 2000
"""All other layers have counted 1,000 batches."""

STATISTICS = (
    Fault("BN501", "resnet18", "no weights were loaded", initial(), EVERYWHERE),
    Fault(
        "BN501",
        "mobilenet_v2",
        "scales and biases were loaded, buffers were not",
        lambda m: put(norms_in(m), **INITIAL),
        EVERYWHERE,
    ),
    Fault("BN501", "levit_128s", "no weights were loaded", initial(), EVERYWHERE),
    Fault(
        "BN502",
        "resnet18",
        "NaN in a running variance",
        channel("layer2.0.bn1", "running_var", float("nan"), 3),
        ("layer2.0.bn1",),
    ),
    Fault(
        "BN502",
        "mobilenet_v3_small",
        "an infinite running mean",
        channel("features.4.block.0.1", "running_mean", float("inf")),
        ("features.4.block.0.1",),
    ),
    Fault(
        "BN502",
        "densenet121",
        "NaN in a scale",
        channel("features.norm5", "weight", float("nan"), 7),
        ("features.norm5",),
    ),
    Fault("BN503", "resnet18", "a negative running variance", channel("bn1", "running_var", -0.1, 5), ("bn1",)),
    Fault(
        "BN503",
        "mobilenet_v2",
        "checkpoints averaged with the wrong sign",
        filled("features.18.1", running_var=-0.5),
        ("features.18.1",),
    ),
    Fault(
        "BN503",
        "regnetx_002",
        "a negative running variance",
        channel("s3.b2.conv1.bn", "running_var", -1e-3),
        ("s3.b2.conv1.bn",),
    ),
    Fault(
        "BN504", "resnet18", "a layer behind dead filters", filled("layer4.1.bn1", running_var=1e-12), ("layer4.1.bn1",)
    ),
    Fault(
        "BN504",
        "mobilenet_v2",
        "variance 0 in most channels",
        channel("features.5.conv.0.1", "running_var", 0.0, slice(0, 150)),
        ("features.5.conv.0.1",),
    ),
    Fault("BN504", "vgg11_bn", "variance 0 in a layer", filled("features.26", running_var=0.0), ("features.26",)),
    Fault("BN505", "resnet18", "momentum 0 everywhere", lambda m: put(norms_in(m), momentum=0.0), EVERYWHERE, TRAINING),
    Fault(
        "BN505", "mobilenet_v2", "momentum 0 in a block", filled("features.3", momentum=0.0), ("features.3",), TRAINING
    ),
    Fault(
        "BN505",
        "shufflenet_v2_x0_5",
        "momentum 0 in the first layer",
        filled("conv1.1", momentum=0.0),
        ("conv1.1",),
        TRAINING,
    ),
    Fault(
        "BN506",
        "resnet18",
        "momentum 0.9, as TensorFlow counts it",
        lambda m: put(norms_in(m), momentum=0.9),
        EVERYWHERE,
        TRAINING,
    ),
    Fault(
        "BN506", "mobilenet_v3_small", "momentum 0.99", lambda m: put(norms_in(m), momentum=0.99), EVERYWHERE, TRAINING
    ),
    Fault("BN506", "regnetx_002", "momentum 0.9 in a stage", filled("s2", momentum=0.9), ("s2",), TRAINING),
    Fault(
        "BN507",
        "resnet18",
        "half of the scales of a layer are 0",
        channel("layer3.0.bn1", "weight", 0.0, slice(0, 128)),
        ("layer3.0.bn1",),
    ),
    Fault(
        "BN507", "resnet50", "a residual branch that has died", filled("layer2.1.bn3", weight=0.0), ("layer2.1.bn3",)
    ),
    Fault(
        "BN507",
        "mobilenet_v2",
        "pruned channels",
        channel("features.6.conv.1.1", "weight", 0.0, slice(0, 64)),
        ("features.6.conv.1.1",),
    ),
    Fault(
        "BN508",
        "mobilenet_v2",
        "the second half was not loaded",
        initial(*(f"features.{i}" for i in range(10, 19))),
        tuple(f"features.{i}" for i in range(10, 19)),
    ),
    Fault(
        "BN508",
        "resnet18",
        "names of the downsampling branches did not fit",
        initial("layer2.0.downsample", "layer3.0.downsample"),
        ("layer2.0.downsample", "layer3.0.downsample"),
    ),
    Fault("BN508", "densenet121", "the last layer is new", initial("features.norm5"), ("features.norm5",)),
    Fault(
        "BN509",
        "resnet18",
        "a stage ran twice under gradient checkpointing",
        filled("layer2", num_batches_tracked=TWICE),
        ("layer2",),
    ),
    Fault(
        "BN509",
        "mobilenet_v2",
        "a stem that was trained longer",
        filled("features.0", num_batches_tracked=9000),
        ("features.0",),
    ),
    Fault(
        "BN509",
        "regnetx_002",
        "a stage that was frozen for most of the training",
        filled("s3", num_batches_tracked=100),
        ("s3",),
    ),
    Fault(
        "BN510",
        "test_resnet",
        "the variance of one layer was overwritten",
        trained_then(filled("layer2.0.bn1", running_var=50.0)),
        ("layer2.0.bn1",),
        DATA,
        values=True,
    ),
    Fault("BN510", "test_resnet", "inputs from 0 to 255 instead of 0 to 1", trained, ("conv1.1",), RAW, values=True),
    Fault(
        "BN510",
        "shufflenet_v2_x0_5",
        "weights averaged over training, buffers not",
        trained_then(exponential),
        ("conv1.1",),
        DATA,
        values=True,
    ),
    Fault("BN511", "resnet18", "eps 0 in one layer", filled("layer1.1.bn1", eps=0.0), ("layer1.1.bn1",), TRAINING),
    Fault("BN511", "mobilenet_v2", "eps 0 everywhere", lambda m: put(norms_in(m), eps=0.0), EVERYWHERE),
    Fault(
        "BN511",
        "vgg11_bn",
        "a layer rebuilt with eps 0",
        lambda m: swap(m, "features.1", lambda b: like(b, eps=0.0)),
        ("features.1",),
    ),
    Fault(
        "BN512",
        "resnet18",
        "one variance set to None",
        lambda m: put([at(m, "layer1.0.bn1")], running_var=None),
        ("layer1.0.bn1",),
    ),
    Fault(
        "BN512",
        "mobilenet_v2",
        "every mean set to None",
        lambda m: put(norms_in(m), running_mean=None),
        EVERYWHERE,
        TRAINING,
    ),
    Fault("BN512", "densenet121", "the variances of a block deleted", deleted(*BLOCK), BLOCK),
)
