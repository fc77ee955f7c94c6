"""Normalisation layers in weights without code: told by which names stand together, their shapes and their metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bnlint.tracing.kinds import NormKind

_STATISTICS: Final = ("running_mean", "running_var")
_ROLES: Final = {
    "running_mean": "running_mean", "running_var": "running_var", "num_batches_tracked": "num_batches_tracked",
    "weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias",
}  # fmt: skip
"""What a tensor of a normalisation layer is, by its name; `gamma` and `beta` stand in converted TensorFlow models."""

_NORM_BASE_VERSION: Final = 2
"""What BatchNorm and InstanceNorm note in the metadata: `torch.nn.modules.batchnorm._NormBase._version`."""

_NAMES: Final = (
    (re.compile(r"batch_?norm|(^|_)bn(_|$)"), NormKind.BATCH),
    (re.compile(r"instance_?norm"), NormKind.INSTANCE),
    (re.compile(r"rms_?norm|(^|_)rms(_|$)"), NormKind.RMS),
    (re.compile(r"group_?norm|(^|_)gn(_|$)"), NormKind.GROUP),
    (re.compile(r"layer_?norm|(^|_)ln(_|$)"), NormKind.LAYER),
)
_ANY_NORM: Final = re.compile(r"norm(?!al(_|$))")


class Described(Protocol):
    """A tensor of which only the description is needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> Any:
        """Its data type, such as `float32` or `torch.float32`."""


@dataclass(frozen=True)
class NamedLayer:
    """A normalisation layer that the names of weights show.

    Attributes:
        path: Its path.
        kind: Its kind; `None` where names and shapes fit several: LayerNorm, GroupNorm and RMSNorm look alike, and so
            do BatchNorm and InstanceNorm without statistics.
        tensors: The names of its tensors, by what they are: `running_mean`, `running_var`, `num_batches_tracked`,
            `weight`, `bias`.
    """

    path: str
    kind: NormKind | None
    tensors: Mapping[str, str]


@dataclass(frozen=True)
class HalfGroup:
    """A layer with one half of its running statistics.

    Attributes:
        path: Its path.
        present: `running_mean` or `running_var`.
        missing: The other one.
    """

    path: str
    present: str
    missing: str


@dataclass(frozen=True)
class NamedLayers:
    """What the names of weights show.

    Attributes:
        layers: The normalisation layers, in the order of their first tensor; those without a tensor at the end.
        halves: Layers with a running mean and no running variance, or the reverse.
    """

    layers: tuple[NamedLayer, ...]
    halves: tuple[HalfGroup, ...]


def named_layers(tensors: Mapping[str, Described], versions: Mapping[str, int] | None = None) -> NamedLayers:
    """Find the normalisation layers among weights.

    A running mean with a running variance is a BatchNorm: an InstanceNorm that keeps statistics looks the same and is
    taken for one, unless its name says what it is. Others are told by their name, and by tensors that no layer but a
    normalisation has: a weight of rank 1, with a bias of the same shape or without one.

    Args:
        tensors: Shapes and data types by name, without the prefixes of wrappers.
        versions: The version of every module in the metadata of a state_dict, by path; BatchNorm and InstanceNorm
            note 2, with or without statistics.

    Returns:
        The layers, and the layers of which half is missing.
    """
    versions = versions or {}
    groups: dict[str, dict[str, str]] = {}
    for name in tensors:
        path, _, last = name.rpartition(".")
        groups.setdefault(path, {})[last] = name
    layers: list[NamedLayer] = []
    halves: list[HalfGroup] = []
    for path, group in groups.items():
        half = _half(path, group)
        if half is not None:
            halves.append(half)
            continue
        layer = _layer(path, group, tensors, versions.get(path))
        if layer is not None:
            layers.append(layer)
    layers += _without_tensors(tensors, versions)
    return NamedLayers(tuple(layers), tuple(halves))


def _half(path: str, group: Mapping[str, str]) -> HalfGroup | None:
    present = [name for name in group if name.startswith("running_")]
    # BatchRenorm and normalisers of reinforcement learning keep a `running_std` and their like instead.
    if len(present) != 1 or present[0] not in _STATISTICS:
        return None
    (missing,) = set(_STATISTICS) - set(present)
    return HalfGroup(path, present[0], missing)


def _layer(
    path: str, group: Mapping[str, str], tensors: Mapping[str, Described], version: int | None
) -> NamedLayer | None:
    own = {_ROLES[last]: name for last, name in group.items() if last in _ROLES}
    by_name = _kind_of_name(path)
    if all(name in own for name in _STATISTICS):
        return NamedLayer(path, NormKind.INSTANCE if by_name is NormKind.INSTANCE else NormKind.BATCH, own)
    if len(own) != len(group) or not _is_scale_and_shift(own, tensors):
        return None
    if version == _NORM_BASE_VERSION:
        return NamedLayer(path, by_name if by_name in {NormKind.BATCH, NormKind.INSTANCE} else None, own)
    if not _says_norm(path):
        return None
    # An RMSNorm is often called `layernorm` (T5, Llama), but never has a bias; GroupNorm always has one.
    certain = by_name is NormKind.RMS or (by_name in {NormKind.LAYER, NormKind.GROUP} and "bias" in own)
    return NamedLayer(path, by_name if certain else None, own)


def _is_scale_and_shift(own: Mapping[str, str], tensors: Mapping[str, Described]) -> bool:
    if not {"weight"} <= own.keys() <= {"weight", "bias"}:
        return False
    found = [tensors[name] for name in own.values()]
    shapes = {tuple(tensor.shape) for tensor in found}
    return len(shapes) == 1 and len(next(iter(shapes))) == 1 and all("float" in str(tensor.dtype) for tensor in found)


def _without_tensors(tensors: Mapping[str, Described], versions: Mapping[str, int]) -> list[NamedLayer]:
    """BatchNorm or InstanceNorm with neither scale nor statistics: the metadata alone names it.

    Other classes of torch that note version 2, quantised recurrent layers and fused convolutions, keep tensors.
    """
    candidates = {path for path, version in versions.items() if version == _NORM_BASE_VERSION}
    for name in tensors:
        while name:
            name = name.rpartition(".")[0]  # noqa: PLW2901
            candidates.discard(name)
    found = []
    for path in versions:
        if path in candidates and path:
            kind = _kind_of_name(path)
            found.append(NamedLayer(path, kind if kind in {NormKind.BATCH, NormKind.INSTANCE} else None, {}))
    return found


def _kind_of_name(path: str) -> NormKind | None:
    word = _word(path)
    return next((kind for pattern, kind in _NAMES if pattern.search(word)), None)


def _says_norm(path: str) -> bool:
    return _kind_of_name(path) is not None or _ANY_NORM.search(_word(path)) is not None


def _word(path: str) -> str:
    """The last name of a path that is not a number, in lower case and without the digits at the ends of its parts."""
    last = next((part for part in reversed(path.split(".")) if not part.isdigit()), "")
    return re.sub(r"\d+(?=_|$)", "", last).lower()
