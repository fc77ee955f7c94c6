"""Normalisation layers in weights without code: told by which names stand together, their shapes and their metadata."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bnlint.norms.kinds import WITH_STATISTICS, NormKind
from bnlint.norms.names import kind_of_path, says_norm
from bnlint.norms.tensors import COUNTER, ROLES, STATISTICS

_PLACE: Final = re.compile(r"\d{1,6}", re.ASCII)
"""The name of a layer in an `nn.Sequential`."""

NORM_BASE_VERSION: Final = 2
"""What BatchNorm and InstanceNorm note in the metadata: `torch.nn.modules.batchnorm._NormBase._version`."""


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


Own = Mapping[str, str]
"""The names of the tensors of one layer, by what they are."""


def named_layers(tensors: Mapping[str, Described], versions: Mapping[str, int] | None = None) -> tuple[NamedLayer, ...]:
    """Find the normalisation layers among weights.

    A running mean with a running variance is a BatchNorm: an InstanceNorm that keeps statistics looks the same and is
    taken for one, unless its name says what it is. So is a layer with one of the two, or neither, where nothing but a
    BatchNorm keeps what is left (`_lost_statistics`). Others are told by tensors that no layer but a normalisation
    has, a weight of rank 1 with a bias of the same shape or without one, and by their name or their place: right
    behind a convolution without a bias.

    Args:
        tensors: Shapes and data types by name, without the prefixes of wrappers.
        versions: The version of every module in the metadata of a state_dict, by path; BatchNorm and InstanceNorm
            note 2, with or without statistics.

    Returns:
        The layers, in the order of their first tensor; those without a tensor at the end.
    """
    versions = versions or {}
    groups = _groups(tensors)
    owns = {
        path: {ROLES[last]: name for last, name in group.items() if last in ROLES} for path, group in groups.items()
    }
    batch_norms = {path for path, own in owns.items() if _is_batch_norm(own, groups[path], versions.get(path), tensors)}
    whole = {frozenset(owns[path]) for path in batch_norms}
    layers: list[NamedLayer] = []
    for path, group in groups.items():
        own, by_name, version = owns[path], kind_of_path(path), versions.get(path)
        if path in batch_norms or _lost_statistics(own, group, version, whole, tensors):
            layers.append(NamedLayer(path, NormKind.INSTANCE if by_name is NormKind.INSTANCE else NormKind.BATCH, own))
        elif (
            len(own) == len(group)
            and _is_scale_and_shift(own, tensors)
            and (version == NORM_BASE_VERSION or says_norm(path) or _is_behind_convolution(path, own, groups, tensors))
        ):
            layers.append(NamedLayer(path, _kind_without_statistics(by_name, version, own), own))
    return (*layers, *_without_tensors(tensors, versions))


def _groups(tensors: Mapping[str, Described]) -> dict[str, dict[str, str]]:
    """The names of the tensors of each module, by their last part."""
    groups: dict[str, dict[str, str]] = {}
    for name in tensors:
        path, _, last = name.rpartition(".")
        groups.setdefault(path, {})[last] = name
    return groups


def _is_batch_norm(own: Own, group: Mapping[str, str], version: int | None, tensors: Mapping[str, Described]) -> bool:
    """Whether both statistics are there, and are no normaliser's of observations (rl_games and others).

    Such a normaliser has neither a scale nor the counter of BatchNorm, but a counter of its own, or statistics for each
    element of an image.
    """
    if not all(name in own for name in STATISTICS):
        return False
    if version == NORM_BASE_VERSION or {"weight", COUNTER} & own.keys():
        return True
    return len(own) == len(group) and all(len(tensors[own[name]].shape) == 1 for name in STATISTICS)


def _lost_statistics(
    own: Own,
    group: Mapping[str, str],
    version: int | None,
    whole: Collection[frozenset[str]],
    tensors: Mapping[str, Described],
) -> bool:
    """Whether a BatchNorm has lost its running mean, its running variance or both.

    Other layers keep one of them by design: EvoNorm a variance, with a scale and a shift; mean-only BatchNorm a mean;
    moving averages in a model of any sort. A BatchNorm is told by the counter of its batches, by the metadata, or by
    other layers of the file, which have the same tensors and the missing one.
    """
    if len(own) != len(group) or any(len(tensors[own[role]].shape) != 1 for role in own.keys() - {COUNTER}):
        return False
    if COUNTER in own:
        return len(own) > 1  # anything may count batches
    kept = [name for name in STATISTICS if name in own]
    if not kept:
        return False
    return version == NORM_BASE_VERSION or ("weight" in own and frozenset({*own, *STATISTICS}) in whole)


def _kind_without_statistics(by_name: NormKind | None, version: int | None, own: Own) -> NormKind | None:
    if version == NORM_BASE_VERSION:
        return by_name if by_name in WITH_STATISTICS else None
    # An RMSNorm is often called `layernorm` (T5, Llama), but never has a bias; GroupNorm always has one.
    certain = by_name is NormKind.RMS or (by_name in {NormKind.LAYER, NormKind.GROUP} and "bias" in own)
    return by_name if certain else None


def _is_scale_and_shift(own: Own, tensors: Mapping[str, Described]) -> bool:
    if not {"weight"} <= own.keys() <= {"weight", "bias"}:
        return False
    found = [tensors[name] for name in own.values()]
    shapes = {tuple(tensor.shape) for tensor in found}
    return len(shapes) == 1 and len(next(iter(shapes))) == 1 and all("float" in str(tensor.dtype) for tensor in found)


def _is_behind_convolution(
    path: str, own: Own, groups: Mapping[str, Mapping[str, str]], tensors: Mapping[str, Described]
) -> bool:
    """Whether a layer with a bias comes right behind a convolution without one, by the numbers of an `nn.Sequential`.

    The shift of a normalisation is why a convolution with as many channels needs no bias.
    """
    parent, _, place = path.rpartition(".")
    if "bias" not in own or _PLACE.fullmatch(place) is None:
        return False
    convolution = groups.get(f"{parent}.{int(place) - 1}".removeprefix("."), {})
    if convolution.keys() != {"weight"}:
        return False
    shape = tensors[convolution["weight"]].shape
    return len(shape) in (3, 4, 5) and shape[0] == tensors[own["bias"]].shape[0]


def _without_tensors(tensors: Mapping[str, Described], versions: Mapping[str, int]) -> list[NamedLayer]:
    """BatchNorm or InstanceNorm with neither scale nor statistics: the metadata alone names it.

    Other classes of torch that note version 2, quantised recurrent layers and fused convolutions, keep tensors.
    """
    candidates = {path for path, version in versions.items() if version == NORM_BASE_VERSION}
    if not candidates:
        return []
    names = sorted(tensors)
    found = []
    for path in versions:
        if path in candidates and path and not _holds_any(f"{path}.", names):
            kind = kind_of_path(path)
            found.append(NamedLayer(path, kind if kind in WITH_STATISTICS else None, {}))
    return found


def _holds_any(prefix: str, names: Sequence[str]) -> bool:
    """Whether one of the sorted names begins with a prefix."""
    place = bisect_left(names, prefix)
    return place < len(names) and names[place].startswith(prefix)
