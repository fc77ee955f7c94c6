"""safetensors files: the header at once, each tensor when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnlint.artifacts.weights import Weights, strip_wrappers
from bnlint.errors import NotAnalysedError

if TYPE_CHECKING:
    from torch import Tensor


class LazyTensors(Mapping[str, "Tensor"]):
    """The tensors of an open safetensors file by name; looking one up reads it, and only it.

    Args:
        handle: The open file, of `safetensors.safe_open`.
        stored: The name in the file for each name under which a tensor is offered.
    """

    def __init__(self, handle: Any, stored: Mapping[str, str]) -> None:
        self._handle = handle
        self._stored = stored

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._handle.get_tensor(self._stored[name])
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def read_safetensors(path: Path, name: str) -> Weights:
    """Open a safetensors file.

    Args:
        path: The file.
        name: What the user called it.

    Returns:
        Its tensors, read lazily, on the CPU.

    Raises:
        NotAnalysedError: The file is cut short or damaged, or holds no tensor.
    """
    from safetensors import SafetensorError, safe_open

    try:
        handle: Any = safe_open(path, framework="pt", device="cpu")
    except SafetensorError as error:
        detail = str(error).removeprefix("Error while deserializing header: ")
        cause = f"`{name}` is a safetensors file that is cut short or damaged: {detail}."
        raise NotAnalysedError(cause, "Download or copy it again.") from error
    names, notes = strip_wrappers(handle.keys())
    if not names:
        raise NotAnalysedError(f"`{name}` is a safetensors file without a single tensor.")
    return Weights(LazyTensors(handle, names), "safetensors", notes)
