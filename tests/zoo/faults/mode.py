"""BN1xx: layers and models in the wrong mode."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.faults.fault import EVERYWHERE, RUN, TRAINING, Fault, at, like, norms_in, put, swap


class AlwaysBatch(nn.BatchNorm2d):
    """Normalises by the batch whatever its mode."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, 0.1, self.eps)


class Functional(nn.Module):
    """Calls the function with a constant where the flag belongs."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", layer.running_mean)
        self.register_buffer("variance", layer.running_var)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.mean, self.variance, training=True)


class Hidden(nn.Module):
    """Keeps a layer where `nn.Module` does not look."""

    def __init__(self, layer: nn.Module, keep: type) -> None:
        super().__init__()
        self.kept: Any = {"norm": layer.train()} if keep is dict else keep([layer.train()])

    def forward(self, x: Tensor) -> Tensor:
        return (self.kept["norm"] if isinstance(self.kept, dict) else self.kept[0])(x)


class FunctionalDropout(nn.Module):
    """Forgets `training=self.training`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.2)


class HiddenDropout(nn.Module):
    """A dropout that `eval()` does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = [nn.Dropout(0.2)]

    def forward(self, x: Tensor) -> Tensor:
        return self.parts[0](x)


class HandMadeNorm(nn.Module):
    """Batch normalisation by hand, without running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean((0, 2, 3), keepdim=True)) / (x.std((0, 2, 3), keepdim=True) + 1e-5)


class MovingNorm(nn.BatchNorm2d):
    """Updates its statistics by hand, and does not ask for the mode."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None
        with torch.no_grad():
            self.running_mean.lerp_(x.mean((0, 2, 3)), 0.1)
        return super().forward(x)


def exported_in_training(model: nn.Module) -> object:
    return torch.export.export(model.train(), (torch.randn(2, 3, 64, 64),))


def forgets_mode(model: Any) -> None:
    """`train()` of a subclass does not pass its argument on."""

    class Forgetful(type(model)):  # type: ignore[misc]
        def train(self, mode: bool = True) -> Any:
            return super().train()

    model.__class__ = Forgetful
    model.eval()


def holds_in_training(model: Any, path: str) -> None:
    """`train()` of a subclass puts a part of the model back into training mode."""

    class Tuned(type(model)):  # type: ignore[misc]
        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            self.get_submodule(path).train()
            return self

    model.__class__ = Tuned
    model.eval()


def freeze(model: Any, *paths: str) -> None:
    for path in paths:
        at(model, path).requires_grad_(False)


ALWAYS_BATCH = "a subclass whose forward passes training=True"
HIDDEN = frozenset({"BN102"})

MODE = (
    Fault("BN101", "resnet18", "train() on the whole model", lambda m: m.train(), EVERYWHERE),
    Fault("BN101", "mobilenet_v3_small", "train() on the whole model", lambda m: m.train(), EVERYWHERE),
    Fault("BN101", "levit_128s", "train() on the whole model", lambda m: m.train(), EVERYWHERE),
    Fault("BN102", "resnet18", "train() on one layer", lambda m: m.layer3[1].bn2.train(), ("layer3.1.bn2",)),
    Fault(
        "BN102",
        "mobilenet_v2",
        "train() on two blocks",
        lambda m: m.features[5:7].train(),
        ("features.5", "features.6"),
    ),
    Fault(
        "BN102",
        "vgg11_bn",
        "a layer put in after eval()",
        lambda m: swap(m, "features.5", lambda b: like(b).train()),
        ("features.5",),
    ),
    Fault(
        "BN103",
        "resnet18",
        ALWAYS_BATCH,
        lambda m: swap(m, "layer2.0.bn1", lambda b: like(b, AlwaysBatch)),
        ("layer2.0.bn1",),
    ),
    Fault(
        "BN103",
        "mobilenet_v2",
        "F.batch_norm(…, training=True)",
        lambda m: swap(m, "features.0.1", lambda b: Functional(b).eval()),
        ("features.0.1",),
    ),
    Fault("BN103", "test_resnet", "exported in training mode", exported_in_training, EVERYWHERE, values=True),
    Fault(
        "BN104",
        "resnet18",
        "track_running_stats=False on one layer",
        lambda m: swap(m, "layer4.1.bn2", lambda b: like(b, track_running_stats=False)),
        ("layer4.1.bn2",),
    ),
    Fault(
        "BN104",
        "mobilenet_v3_small",
        "running statistics set to None",
        lambda m: put(norms_in(m), running_mean=None, running_var=None),
        EVERYWHERE,
    ),
    Fault(
        "BN104",
        "densenet121",
        "the first layer without statistics",
        lambda m: swap(m, "features.norm0", lambda b: like(b, track_running_stats=False)),
        ("features.norm0",),
    ),
    Fault(
        "BN105",
        "resnet18",
        "a BatchNorm in a Python list",
        lambda m: swap(m, "layer1.0.bn1", lambda b: Hidden(b, list)),
        ("layer1.0.bn1.kept[0]",),
    ),
    Fault(
        "BN105",
        "mobilenet_v2",
        "a BatchNorm in a dict",
        lambda m: swap(m, "features.18.1", lambda b: Hidden(b, dict)),
        ("features.18.1.kept['norm']",),
    ),
    Fault(
        "BN105",
        "vgg11_bn",
        "a BatchNorm in a tuple",
        lambda m: swap(m, "features.1", lambda b: Hidden(b, tuple)),
        ("features.1.kept[0]",),
    ),
    Fault("BN106", "resnet18", "train() forgets the mode", forgets_mode, EVERYWHERE, also=frozenset({"BN101"})),
    Fault(
        "BN106",
        "mobilenet_v2",
        "train() puts a block back",
        lambda m: holds_in_training(m, "features.18"),
        ("features.18",),
        also=frozenset({"BN102"}),
    ),
    Fault(
        "BN106",
        "regnetx_002",
        "train() puts a stage back",
        lambda m: holds_in_training(m, "s4"),
        ("s4",),
        also=frozenset({"BN102"}),
    ),
    Fault(
        "BN107",
        "resnet18",
        "a frozen backbone left in training mode",
        lambda m: freeze(m, "bn1", "layer1", "layer2"),
        ("bn1", "layer1", "layer2"),
        TRAINING,
    ),
    Fault("BN107", "mobilenet_v2", "frozen features", lambda m: freeze(m, "features"), ("features",), TRAINING),
    Fault(
        "BN107", "densenet121", "one frozen layer", lambda m: freeze(m, "features.norm5"), ("features.norm5",), TRAINING
    ),
    Fault(
        "BN108",
        "mobilenet_v2",
        "F.dropout(x) in the classifier",
        lambda m: swap(m, "classifier.0", lambda _: FunctionalDropout().eval()),
    ),
    Fault(
        "BN108",
        "vgg11_bn",
        "F.dropout(x) in the classifier",
        lambda m: swap(m, "classifier.5", lambda _: FunctionalDropout().eval()),
    ),
    Fault(
        "BN108",
        "mobilenet_v3_small",
        "a dropout in a Python list",
        lambda m: swap(m, "classifier.2", lambda _: HiddenDropout()),
    ),
    Fault("BN109", "resnet18", "eval() before training", lambda m: m.eval(), EVERYWHERE, TRAINING),
    Fault("BN109", "mobilenet_v2", "eval() before training", lambda m: m.eval(), EVERYWHERE, TRAINING),
    Fault("BN109", "efficientvit_b0", "eval() before training", lambda m: m.eval(), EVERYWHERE, TRAINING),
    Fault(
        "BN110",
        "test_resnet",
        "a layer that normalises by hand over the batch",
        lambda m: swap(m, "layer2.0.bn1", lambda _: HandMadeNorm()),
        (),
        RUN,
        values=True,
    ),
    Fault(
        "BN110",
        "test_efficientnet",
        "a softmax over the samples",
        lambda m: swap(m, "classifier", lambda c: nn.Sequential(c, nn.Softmax(0))),
        (),
        RUN,
        values=True,
    ),
    Fault(
        "BN110",
        "mobilenetv3_small_050",
        "a layer that normalises by hand over the batch",
        lambda m: swap(m, "blocks.0.0.bn1", lambda _: HandMadeNorm()),
        (),
        RUN,
        values=True,
    ),
    Fault(
        "BN111",
        "test_resnet",
        "statistics updated by hand",
        lambda m: swap(m, "layer1.0.bn2", lambda b: like(b, MovingNorm)),
        ("layer1.0.bn2",),
        RUN,
        values=True,
    ),
    Fault(
        "BN111",
        "shufflenet_v2_x0_5",
        "statistics updated by hand",
        lambda m: swap(m, "conv1.1", lambda b: like(b, MovingNorm)),
        ("conv1.1",),
        RUN,
        values=True,
    ),
    Fault(
        "BN111",
        "test_efficientnet",
        "statistics updated by hand",
        lambda m: swap(m, "blocks.0.0.bn1", lambda b: like(b, MovingNorm)),
        ("blocks.0.0.bn1",),
        RUN,
        values=True,
    ),
)
