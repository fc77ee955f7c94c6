"""The models of the parity table: small ones with a layer of every sort, and published ones that nobody here wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tests.torchvision_ops  # noqa: F401 - before timm and torchvision
from tests.models import with_plausible_statistics

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")


@dataclass(frozen=True)
class Subject:
    """A model that goes through the forms.

    Attributes:
        model: The model.
        image: What it is called with.
        packages: The packages of its classes, for `--allow`.
    """

    model: nn.Module
    image: Tensor
    packages: tuple[str, ...]

    @property
    def data(self) -> Tensor:
        """Real inputs, enough of them for statistics: 8 variants of the image."""
        generator = torch.Generator().manual_seed(2)
        return torch.cat([self.image + torch.randn(self.image.shape, generator=generator) for _ in range(8)])


class Small(nn.Module):
    """One layer of each sort that every form can hold, in code that can be scripted, traced and exported."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8, eps=1e-3, momentum=0.01)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.bn_plain = nn.BatchNorm2d(8, affine=False)
        self.conv3 = nn.Conv2d(8, 8, 1)
        self.bn_stateless = nn.BatchNorm2d(8, track_running_stats=False)
        self.conv4 = nn.Conv2d(8, 8, 1, groups=2)
        self.bn_cumulative = nn.BatchNorm2d(8, momentum=None)
        self.dropout = nn.Dropout(0.3)
        self.bn_after_dropout = nn.BatchNorm2d(8)
        self.group_norm = nn.GroupNorm(2, 8, eps=1e-6)
        self.conv5 = nn.Conv2d(8, 8, 3)
        self.instance_norm = nn.InstanceNorm2d(8, affine=True, track_running_stats=True)
        self.layer_norm = nn.LayerNorm(10)
        self.scale = nn.LayerNorm(10, elementwise_affine=False)
        self.fc1 = nn.Linear(8, 6)
        self.bn_head = nn.BatchNorm1d(6)
        self.fc2 = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = x + torch.relu(self.bn_plain(self.conv2(x)))
        x = torch.relu(self.bn_stateless(self.conv3(x)))
        x = self.bn_cumulative(torch.relu(self.conv4(x)))
        x = self.group_norm(self.bn_after_dropout(self.dropout(x)))
        x = self.scale(self.layer_norm(self.instance_norm(self.conv5(x))))
        return self.fc2(torch.relu(self.bn_head(self.fc1(x.mean((2, 3))))))


class Renamed(nn.BatchNorm2d):
    """A class of a user's own."""


class Odd(nn.Module):
    """What not every form can hold: classes of others, layers called twice or never, functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.renamed = Renamed(4)
        self.synchronised = nn.SyncBatchNorm(4)
        self.frozen = torchvision.ops.FrozenBatchNorm2d(4)
        self.shared = nn.BatchNorm2d(4)
        self.never = nn.BatchNorm2d(5, momentum=0.2)
        self.rms_norm = nn.RMSNorm(12)
        self.local = nn.LocalResponseNorm(3)
        self.plain_instance = nn.InstanceNorm2d(4)
        self.volume = nn.BatchNorm3d(4, dtype=torch.float64)
        self.register_buffer("known_mean", torch.linspace(-1, 1, 4))
        self.register_buffer("known_variance", torch.linspace(0.5, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.frozen(self.synchronised(self.renamed(self.conv(x))).relu())
        x = self.shared(torch.sigmoid(x)) + self.shared(torch.tanh(x))
        x = self.plain_instance(torch.relu(self.local(torch.relu(self.rms_norm(x)))))
        x = F.batch_norm(x, self.get_buffer("known_mean"), self.get_buffer("known_variance"), eps=1e-4)
        return self.volume(x.double()[..., None])


def _varied(model: nn.Module) -> nn.Module:
    """As `with_plausible_statistics`, and the affine parameters of the other kinds varied too."""
    generator = torch.Generator().manual_seed(1)
    with_plausible_statistics(model)
    for layer in model.modules():
        if isinstance(layer, (nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)) and layer.weight is not None:
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
    return model


def small() -> Subject:
    """Everything in eval mode but `bn1`, which somebody forgot."""
    model = _varied(Small()).eval()
    assert isinstance(model, Small)
    model.bn1.train()
    model.conv1.requires_grad_(False)
    model.bn1.requires_grad_(False)
    model.bn_head.get_buffer("num_batches_tracked").fill_(2000)
    return Subject(model, _image(12), ("tests",))


def small_in_training() -> Subject:
    """In training mode as a whole, without the cumulative average: its momentum is a value, which stops an export."""
    model = _varied(Small()).train()
    assert isinstance(model, Small)
    model.bn_cumulative.momentum = 0.2
    return Subject(model, _image(12), ("tests",))


def odd() -> Subject:
    return Subject(_varied(Odd()).eval(), _image(12), ("tests", "torchvision"))


def faulty() -> Subject:
    """Faults of numbers and of modes, each in a layer of its own."""
    model = _varied(Small()).eval()
    assert isinstance(model, Small)
    model.bn1.train()
    model.bn_plain.reset_running_stats()
    model.bn_cumulative.get_buffer("running_var")[2] = -1
    model.bn_head.get_buffer("running_mean")[0] = torch.nan
    model.bn_after_dropout.get_buffer("running_var")[3] = 0
    return Subject(model, _image(12), ("tests",))


def resnet18() -> Subject:
    return Subject(_varied(torchvision.models.resnet18(num_classes=4)).eval(), _image(32), ("torchvision",))


def mobilenet_v2() -> Subject:
    return Subject(_varied(torchvision.models.mobilenet_v2(num_classes=4)).eval(), _image(32), ("torchvision",))


def efficientnet() -> Subject:
    return Subject(_varied(timm.create_model("test_efficientnet")).eval(), _image(32), ("timm",))


def _image(side: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "small": small,
    "small in training": small_in_training,
    "odd": odd,
    "faulty": faulty,
    "resnet18": resnet18,
    "mobilenet_v2": mobilenet_v2,
    "efficientnet": efficientnet,
}
