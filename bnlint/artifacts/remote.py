"""Remote safetensors files, one or the shards of an index: only headers and what is asked for is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from bnlint.artifacts.inert.regions import Region, values_in
from bnlint.artifacts.remote_store import open_remote, sentences
from bnlint.artifacts.safetensors_header import describe
from bnlint.artifacts.saved import Saved, of_stored
from bnlint.artifacts.sniff import Content, Kind, sniff
from bnlint.artifacts.stored import StoredTensor
from bnlint.artifacts.weight_folders import listed_in
from bnlint.errors import NotAnalysedError, UsageError

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

_DOWNLOAD: Final = "Download it first."


class RemoteTensor(StoredTensor, frozen=True):
    """A tensor in a remote file.

    Attributes:
        opened: The file, which stays open with the blocks that were fetched last.
    """

    opened: BinaryIO | None = None

    def values(self) -> numpy.ndarray:
        """Fetch the values; bfloat16 and 8-bit floats as float32, which holds them exactly.

        Raises:
            NotAnalysedError: The store fails, or the file is damaged.
        """
        file, region = self._place()
        with sentences(self.name):
            return values_in(file, self.description, region)

    def as_torch(self) -> Tensor:
        """Fetch the tensor itself.

        Raises:
            NotAnalysedError: As for `values`.
        """
        import torch

        file, region = self._place()
        dtype: torch.dtype = getattr(torch, self.dtype)
        with sentences(self.name):
            file.seek(region.start)
            data = bytearray(file.read(region.size))
            return torch.frombuffer(data, dtype=dtype).reshape(self.shape) if data else torch.empty(self.shape)

    def _place(self) -> tuple[BinaryIO, Region]:
        if self.opened is None or self.region is None:
            raise NotAnalysedError(f"`{self.name}` holds no values of a tensor that it describes.")
        return self.opened, self.region


def read_remote(name: str, key: str = "") -> Saved:
    """Read the headers of a remote safetensors file, or of those that a remote index lists.

    Args:
        name: Its address, for which fsspec knows the store.
        key: Refused: the file holds one set of weights.

    Returns:
        The weights; their values are fetched when they are asked for.

    Raises:
        NotAnalysedError: It cannot be fetched, is damaged, or is neither a safetensors file nor an index of such files.
        UsageError: A key was given, there is no such file, or the package for the store is not installed.
    """
    if key:
        raise UsageError(f"`{name}` is a remote file with one set of weights: `--key` does not apply.")
    with sentences(name):
        file = open_remote(name)
        content = sniff(file)
        file.seek(0)
        tensors = _indexed(file, name) if content.kind is Kind.INDEX else _described(file, content, name)
    return of_stored(tensors, "safetensors", name)


def _indexed(file: BinaryIO, name: str) -> dict[str, StoredTensor]:
    folder = name.rpartition("/")[0]
    tensors: dict[str, StoredTensor] = {}
    for listed, wanted in listed_in(file, name).items():
        shard = f"{folder}/{listed}"
        with sentences(shard):
            try:
                opened = open_remote(shard)
            except FileNotFoundError as error:
                raise NotAnalysedError(f"`{name}` lists `{listed}`, which is missing.") from error
            found = _described(opened, sniff(opened), shard)
        lacking = wanted.keys() - found.keys()
        if lacking:
            raise NotAnalysedError(f"`{shard}` has no tensor `{min(lacking)}`, which `{name}` says is in it.")
        tensors |= {stored: found[stored] for stored in wanted}
    return tensors


def _described(file: BinaryIO, content: Content, name: str) -> dict[str, StoredTensor]:
    if content.kind is Kind.UNREADABLE:
        raise NotAnalysedError(f"`{name}` is {content.words}.", content.hint)
    if content.kind is not Kind.SAFETENSORS:
        raise NotAnalysedError(
            f"`{name}` is {content.words}, and of remote files only safetensors are read.", _DOWNLOAD
        )
    try:
        return {
            tensor.storage: RemoteTensor(tensor, Path(name), name, region, opened=file)
            for tensor, region in describe(file)
        }
    except ValueError as error:
        cause = f"`{name}` is a safetensors file that is cut short or damaged: {error}."
        raise NotAnalysedError(cause) from error
