"""Which files make a folder weights, and which files an index lists; no weights are read."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from bnlint.artifacts.inside import is_inside
from bnlint.artifacts.json_size import refuse_many_parts
from bnlint.errors import NotAnalysedError
from bnlint.opening import is_to_be_read, open_regular, unreadable

METADATA: Final = ".metadata"
"""The file that makes a folder a checkpoint of `torch.distributed.checkpoint`."""

INDEX_SUFFIX: Final = ".index.json"
"""How the names of indices end."""

USUAL_FILES: Final = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin.index.json",
    "diffusion_pytorch_model.bin",
)
"""Where transformers and diffusers keep weights, safetensors first, as those libraries themselves prefer them."""

WEIGHT_FILES: Final = frozenset((METADATA, *USUAL_FILES))
"""The files of which one makes a folder weights."""

LARGEST_INDEX: Final = 1 << 27
"""Bytes of an index; it takes about 100 for each tensor."""

MOST_SHARDS: Final = 10_000
"""Files of one model; the largest published ones have some hundred."""

FOLDER_AGAIN: Final = "Download or copy the whole folder again."
"""The hint for a folder of which a file is missing or damaged."""

_SHARD: Final = re.compile(r"-\d+-of-\d+\.[\w.]+$")
"""How transformers and diffusers call shards: https://huggingface.co/docs/transformers/big_models."""


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def holds_weights(folder: Path) -> bool:
    """Whether a folder has what `bnlint.artifacts.shards.read_folder` reads.

    Args:
        folder: Any folder.
    """
    return any(is_to_be_read(folder / usual) for usual in WEIGHT_FILES)


def is_shard(name: str) -> bool:
    """Whether a file is called as one of several that hold the weights of one model.

    Args:
        name: Its name, path or address.
    """
    return _SHARD.search(name) is not None


def listed_files(path: Path, name: str) -> dict[str, dict[str, None]]:
    """The files that an index lists, and the names of the tensors in each.

    Args:
        path: The index.
        name: What the user called it.

    Raises:
        NotAnalysedError: The index is damaged or leaves its folder.
    """
    try:
        with open_regular(path) as file:
            return listed_in(file, name)
    except (OSError, ValueError) as error:
        raise unreadable(name, error, FOLDER_AGAIN) from error


def listed_in(file: BinaryIO, name: str) -> dict[str, dict[str, None]]:
    """As `listed_files`, of an open file.

    Args:
        file: The index, at its start.
        name: What the user called it.

    Raises:
        NotAnalysedError: The index is damaged or leaves its folder.
        OSError: It cannot be read.
    """
    try:
        if file.seek(0, os.SEEK_END) > LARGEST_INDEX:
            raise ValueError("it is longer than that of any model")
        file.seek(0)
        data = file.read(LARGEST_INDEX)
        refuse_many_parts(data)
        index = msgspec.json.decode(data, type=_Index)
    except (ValueError, RecursionError) as error:
        raise NotAnalysedError(f"`{name}` is not a sound index of weights: {error}.", FOLDER_AGAIN) from error
    places: dict[str, dict[str, None]] = {}
    for stored, file_name in index.weight_map.items():
        places.setdefault(file_name, {})[stored] = None
    if len(places) > MOST_SHARDS:
        raise NotAnalysedError(f"`{name}` lists {len(places)} files, more than any model has.")
    for file_name in places:
        if not is_inside(file_name):
            raise NotAnalysedError(f"`{name}` lists `{file_name}`, which is not a file of its folder.")
    return places
