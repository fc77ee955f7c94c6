"""Files in remote stores: safetensors, of which only the header and the ranges that are asked for are fetched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from bnlint.artifacts.inert.regions import Region, values_in
from bnlint.artifacts.inert.tensors import SavedTensor
from bnlint.artifacts.safetensors_header import describe
from bnlint.artifacts.saved import Saved, of_stored
from bnlint.artifacts.sniff import Kind, sniff
from bnlint.artifacts.stored import StoredTensor
from bnlint.artifacts.user_code import first_line
from bnlint.errors import BnlintError, NotAnalysedError, UsageError

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

BLOCK: Final = 1 << 16
"""Bytes that are fetched at once: the statistics of a layer lie side by side and are a few kilobytes."""


@dataclass(frozen=True)
class RemoteTensor(StoredTensor):
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
        with _sentences(self.name):
            return values_in(file, self.description, region)

    def as_torch(self) -> Tensor:
        """Fetch the tensor itself.

        Raises:
            NotAnalysedError: As for `values`.
        """
        import torch

        file, region = self._place()
        dtype: torch.dtype = getattr(torch, self.dtype)
        with _sentences(self.name):
            file.seek(region.start)
            data = bytearray(file.read(region.size))
            return torch.frombuffer(data, dtype=dtype).reshape(self.shape) if data else torch.empty(self.shape)

    def _place(self) -> tuple[BinaryIO, Region]:
        if self.opened is None or self.region is None:
            raise NotAnalysedError(f"`{self.name}` holds no values of a tensor that it describes.")
        return self.opened, self.region


def read_remote(name: str, key: str = "") -> Saved:
    """Read the header of a remote safetensors file.

    Args:
        name: Its address, for which fsspec knows the store.
        key: Refused: the file holds one set of weights.

    Returns:
        The weights; their values are fetched when they are asked for.

    Raises:
        NotAnalysedError: It cannot be fetched, is damaged, or is no safetensors file.
        UsageError: A key was given, or the package for the store is not installed.
    """
    if key:
        raise UsageError(f"`{name}` is a remote file with one set of weights: `--key` does not apply.")
    with _sentences(name):
        file = _open(name)
        content = sniff(file)
        if content.kind is not Kind.SAFETENSORS:
            cause = f"`{name}` is {content.words}, and of remote files only safetensors are read."
            raise NotAnalysedError(cause, "Download it first.")
        found = describe(file)
    return of_stored({tensor: _remote(place, name, file) for tensor, place in found.items()}, "safetensors", name)


def find_remote(name: str) -> list[str]:
    """The remote files that match a pattern, or lie in a folder at any depth.

    Args:
        name: An address with `*` or `**`, or one that ends in a slash.

    Returns:
        Their addresses; none where there is nothing.

    Raises:
        NotAnalysedError: The store fails.
        UsageError: The package for the store is not installed.
    """
    with _sentences(name):
        from fsspec.core import url_to_fs

        store, path = url_to_fs(name)
        inner = store.find(path) if name.endswith("/") else store.glob(path)
        return sorted(str(store.unstrip_protocol(found)) for found in inner)


def _open(name: str) -> BinaryIO:
    from fsspec.core import url_to_fs

    store, path = url_to_fs(name)
    return cast("BinaryIO", store.open(path, "rb", block_size=BLOCK, cache_type="blockcache"))


def _remote(place: tuple[SavedTensor, Region], name: str, file: BinaryIO) -> RemoteTensor:
    tensor, region = place
    return RemoteTensor(tensor, Path(name), name, region, opened=file)


@contextmanager
def _sentences(name: str) -> Iterator[None]:
    """Turn what stores raise into a sentence: each brings a library with errors of its own."""
    try:
        yield
    except BnlintError:
        raise
    except FileNotFoundError as error:
        raise NotAnalysedError(f"There is no file `{name}`.") from error
    except ImportError as error:
        hint = "`pip install 'bnlint[remote]'` brings fsspec; the package for the store comes beside it."
        raise UsageError(f"`{name}` cannot be read: {first_line(error)}.", hint) from error
    except Exception as error:
        raise NotAnalysedError(f"`{name}` cannot be read: {type(error).__name__}: {first_line(error)}.") from error
