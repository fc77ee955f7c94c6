"""Normalisation layers of an exported program that are one layer under several names."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.stored import StoredTensor

if TYPE_CHECKING:
    from bnlint.facts.layers import NormLayer


def without_other_names(
    layers: Mapping[str, NormLayer], artifact: Artifact, called: Collection[str]
) -> dict[str, NormLayer]:
    """Leave out further names of a layer, of which a live model shows one.

    `torch.export` writes the tensors of a module that is registered twice under both names, and calls it by one: the
    other would be a layer that nothing calls.

    Args:
        layers: The layers by path, in model order.
        artifact: The target.
        called: Paths of the layers that are called.

    Returns:
        The layers. Of several with the very same tensors those that are called, or the first where none is.
    """
    if artifact.module is not None:
        return dict(layers)
    tensors: Mapping[str, object] = artifact.tensors if artifact.program is None else artifact.program.tensors
    places: dict[str, set[Hashable]] = {path: set() for path in layers}
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        if owner in places:
            places[owner].add((leaf, _place(tensor) or name))
    names: dict[Hashable, list[str]] = {}
    for path, found in places.items():
        names.setdefault(frozenset(found), []).append(path)
    kept = {path for same in names.values() for path in [name for name in same if name in called] or same[:1]}
    return {path: layer for path, layer in layers.items() if path in kept}


def _place(tensor: object) -> Hashable:
    """Where the numbers of a tensor lie; `None` where it has none, or they are not at hand."""
    if isinstance(tensor, StoredTensor):
        return None if tensor.region is None else (tensor.region, tensor.description.offset, tensor.shape)
    if isinstance(tensor, Tensor) and not tensor.is_meta and tensor.numel():
        return (tensor.data_ptr(), tuple(tensor.shape))
    return None
