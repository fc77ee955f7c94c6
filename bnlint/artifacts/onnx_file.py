"""ONNX files, read as data with the `onnx` package."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bnlint.artifacts.inert.onnx_contents import OnnxContents, OnnxTensor
from bnlint.artifacts.inert.sandbox import ask_child
from bnlint.artifacts.inert.tensors import ITEM_SIZES, SavedTensor, contiguous
from bnlint.artifacts.stored import StoredTensor
from bnlint.errors import NotAnalysedError

_ONE_FILE: Final = "`torch.onnx.export(…, external_data=False)` writes a single file."


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX model as it lies in its file.

    Attributes:
        name: What the user called the file.
        contents: The graph.
        tensors: Its constants by name; without values those that are in another file, or laid out in another form.
        notes: Remarks for the report.
    """

    name: str
    contents: OnnxContents
    tensors: Mapping[str, StoredTensor]
    notes: tuple[str, ...] = ()


def read_onnx_file(path: Path, name: str) -> OnnxModel:
    """Read an ONNX file; nothing in it is run, and no file that it names is opened.

    Args:
        path: The file.
        name: What the user called it.

    Raises:
        NotAnalysedError: The `onnx` package is not installed, or the file is damaged.
    """
    if importlib.util.find_spec("onnx") is None:
        cause = f"`{name}` is an ONNX file, and the package `onnx` is not installed."
        raise NotAnalysedError(cause, "To read it, run `pip install 'bnlint[onnx]'`.")
    contents = ask_child("onnx", path, name, OnnxContents)
    tensors = {
        constant.name: _stored(constant, path, name) for constant in contents.constants if constant.dtype in ITEM_SIZES
    }
    notes = []
    if sys.byteorder != "little":  # ONNX is little-endian on every machine
        tensors = {tensor: msgspec.structs.replace(found, region=None) for tensor, found in tensors.items()}
        notes.append("The file is in the byte order of another machine: the values of its weights were not read.")
    external = sum(constant.external for constant in contents.constants)
    if external:
        notes.append(f"The values of {external} weights are in another file, which was not opened. {_ONE_FILE}")
    return OnnxModel(name, contents, tensors, tuple(notes))


def _stored(constant: OnnxTensor, path: Path, name: str) -> StoredTensor:
    region = constant.region
    size = 0 if region is None else region.size
    # Whether a constant was a parameter in training is not written down; weights are, and most others do not matter.
    described = SavedTensor(constant.dtype, constant.shape, contiguous(constant.shape), 0, "", size, False, True)
    fits = size == described.numel * ITEM_SIZES[described.dtype]
    return StoredTensor(described, path, name, region if fits else None)
