"""Folders of `torch.distributed.checkpoint`: a pickle that lists chunks of tensors, and files that hold the chunks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bnlint.artifacts.inert.archive import open_zip
from bnlint.artifacts.inert.callees import true_names
from bnlint.artifacts.inert.contents import MOST_ENTRIES, Entry
from bnlint.artifacts.inert.inline import note_inline
from bnlint.artifacts.inert.machine import BadPickleError, Names, read_pickle
from bnlint.artifacts.inert.regions import LARGEST_TENSOR, Region
from bnlint.artifacts.inert.tensors import SavedTensor, as_dtype, as_sizes, as_tensor, contiguous
from bnlint.artifacts.inert.values import Stub, attributes, mapping
from bnlint.artifacts.inside import is_inside
from bnlint.artifacts.weight_folders import METADATA
from bnlint.norms.tensors import ROLES
from bnlint.opening import is_regular, is_there, open_regular


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A chunk of a tensor of rank 1, or a whole scalar.

    Attributes:
        start: The first element of the whole tensor that it holds.
        file: The file in the folder.
        tensor: The chunk, as that file describes it.
        region: Where its storage lies in the file.
        little_endian: The byte order of the storage.
    """

    start: int
    file: str
    tensor: SavedTensor
    region: Region
    little_endian: bool


class Directory(msgspec.Struct, frozen=True):
    """A checkpoint folder as data.

    Attributes:
        entries: Sets of weights, each under the keys that lead to it; the storage of a tensor is its name there.
        pieces: The chunks of the tensors that may belong to a normalisation layer, by name in the folder, in order.
        called: Dotted names of the classes and functions that loading the folder would call.
    """

    entries: tuple[Entry, ...]
    pieces: dict[str, tuple[Piece, ...]]
    called: tuple[str, ...]


def read_directory(path: Path, seen: Names | None = None) -> Directory:
    """Read a folder of `torch.distributed.checkpoint`.

    Only chunks of tensors that may belong to a normalisation layer are looked at, and of those only the descriptions.

    Args:
        path: The folder.
        seen: Gets the names in its list; torch reads the chunks as weights alone, which calls nothing.

    Returns:
        What it holds.

    Raises:
        ValueError: The folder is incomplete or damaged, or its list leads out of it.
    """
    with open_regular(path / METADATA) as file:
        pickled = read_pickle(file, seen)
    note_inline(pickled)
    listed = attributes(pickled.value)
    described = mapping(listed.get("state_dict_metadata"))
    if described is None:
        raise BadPickleError(f"its `{METADATA}` lists no tensors")
    tensors = {name: tensor for name, item in described.items() if (tensor := _described(name, item)) is not None}
    wanted = {name: tensor for name, tensor in tensors.items() if _may_be_normalisation(name, tensors)}
    pieces = _pieces(path, wanted, _places(listed.get("storage_data"), wanted))
    entries = _entries(tensors, mapping(listed.get("planner_data")) or {})
    return Directory(entries, pieces, true_names(pickled.called))


def _described(name: Any, item: Any) -> SavedTensor | None:
    own = attributes(item)
    shape = as_sizes(own.get("size"))
    properties = own.get("properties")
    state = properties.states[0] if isinstance(properties, Stub) and properties.states else None
    dtype = as_dtype(state[0]) if isinstance(state, tuple) and state else None
    if not isinstance(name, str) or shape is None or dtype is None:
        return None
    return SavedTensor(dtype, shape, contiguous(shape), 0, name, 0, requires_grad=False)


def _may_be_normalisation(name: str, tensors: Mapping[str, SavedTensor]) -> bool:
    path, _, last = name.rpartition(".")
    tensor = tensors[name]
    if last not in ROLES or len(tensor.shape) > 1 or tensor.numel > LARGEST_TENSOR:
        return False
    weight = tensors.get(f"{path}.weight" if path else "weight")
    return weight is None or len(weight.shape) <= 1  # the bias of a convolution is not needed


def _places(table: Any, wanted: Mapping[str, SavedTensor]) -> dict[str, list[tuple[int, str, int, int]]]:
    """For each tensor its chunks: the first element, the file, the first byte there and the number of bytes."""
    places: dict[str, list[tuple[int, str, int, int]]] = {}
    for index, place in (mapping(table) or {}).items():
        own, at = attributes(index), attributes(place)
        name = own.get("fqn")
        if not isinstance(name, str) or name not in wanted:
            continue
        start = as_sizes(own.get("offset", ()))
        file, offset, length = at.get("relative_path"), at.get("offset"), at.get("length")
        if start is None or not isinstance(file, str) or not isinstance(offset, int) or not isinstance(length, int):
            raise BadPickleError(f"it does not say where `{name}` lies")
        if at.get("transform_descriptors"):
            raise BadPickleError(f"`{name}` is compressed or encrypted, which bnlint does not read")
        if not is_inside(file):
            raise BadPickleError(f"it lists `{file}`, which is not a file of the folder")
        places.setdefault(name, []).append((start[0] if start else 0, file, offset, length))
    return places


def _pieces(
    path: Path, wanted: Mapping[str, SavedTensor], places: Mapping[str, list[tuple[int, str, int, int]]]
) -> dict[str, tuple[Piece, ...]]:
    found: dict[str, tuple[Piece, ...]] = {}
    for name, whole in wanted.items():
        pieces = tuple(_piece(path, *place) for place in sorted(places.get(name, [])))
        end = 0
        for piece in pieces:
            if piece.start != end or len(piece.tensor.shape) != len(whole.shape) or piece.tensor.dtype != whole.dtype:
                raise BadPickleError(f"the chunks of `{name}` do not fit together")
            end += piece.tensor.numel
        if end != whole.numel:
            raise BadPickleError(f"a chunk of `{name}` is missing")
        found[name] = pieces
    return found


def _piece(path: Path, start: int, name: str, offset: int, length: int) -> Piece:
    if not is_there(path / name):
        raise BadPickleError(f"the file `{name}` is missing")
    if not is_regular(path / name):
        raise BadPickleError(f"`{name}` is not a regular file")
    opened = open_zip(path / name, Region(offset, length))
    tensor = as_tensor(opened.pickled.value)
    region = opened.regions.get(tensor.storage) if tensor is not None else None
    if tensor is None or region is None:
        raise BadPickleError(f"a chunk in `{name}` is not a tensor")
    return Piece(start, name, tensor, region, opened.little_endian)


def _entries(tensors: Mapping[str, SavedTensor], flattened: Mapping[Any, Any]) -> tuple[Entry, ...]:
    """The sets of weights; `planner_data` tells which keys led to each tensor before they were joined by dots."""
    groups: dict[tuple[str, ...], dict[str, SavedTensor]] = {}
    for name, tensor in tensors.items():
        keys = flattened.get(name)
        if not isinstance(keys, tuple) or not keys or not all(isinstance(key, (str, int)) for key in keys):
            keys = (name,)
        *outer, last = map(str, keys)
        groups.setdefault(tuple(outer), {})[last] = tensor
    largest = set(sorted(groups, key=lambda keys: len(groups[keys]), reverse=True)[:MOST_ENTRIES])
    return tuple(Entry(keys, tensors=tensors) for keys, tensors in groups.items() if keys in largest)
