"""Folders of `torch.distributed.checkpoint`, read as data: the weights, with values for normalisation layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from bnlint.artifacts.call_warning import warning_of_calls
from bnlint.artifacts.choice import choose, remark
from bnlint.artifacts.inert.directory import Directory, Piece
from bnlint.artifacts.inert.sandbox import ask_child
from bnlint.artifacts.inert.tensors import SavedTensor
from bnlint.artifacts.names import strip_wrappers
from bnlint.artifacts.saved import Saved
from bnlint.artifacts.stored import StoredTensor
from bnlint.artifacts.weight_folders import METADATA
from bnlint.errors import NotAnalysedError
from bnlint.opening import require_regular

if TYPE_CHECKING:
    import numpy
    from torch import Tensor


_ONE_FILE: Final = "make one file of the folder by `python -m torch.distributed.checkpoint.format_utils dcp_to_torch`"


class PiecedTensor(StoredTensor, frozen=True):
    """A tensor of a checkpoint folder, in chunks that can lie in several files.

    Attributes:
        pieces: Its chunks along the first axis, in order; empty for a tensor of no normalisation layer.
    """

    pieces: tuple[StoredTensor, ...] = ()

    @property
    def has_values(self) -> bool:
        """Whether it is of a normalisation layer, the only ones whose chunks are looked up."""
        return bool(self.pieces)

    def values(self) -> numpy.ndarray:
        """Read the chunks and put them together.

        Raises:
            NotAnalysedError: A chunk does not lie within its file, or the tensor is of no normalisation layer.
        """
        import numpy

        chunks = [piece.values() for piece in self._present()]
        return chunks[0] if len(chunks) == 1 else numpy.concatenate(chunks)

    def as_torch(self) -> Tensor:
        """The tensor itself.

        Raises:
            NotAnalysedError: As for `values`.
        """
        import torch

        chunks = [piece.as_torch() for piece in self._present()]
        return chunks[0] if len(chunks) == 1 else torch.cat(chunks)

    def _present(self) -> tuple[StoredTensor, ...]:
        if self.pieces:
            return self.pieces
        cause = f"Of the checkpoint folder `{self.name}` only normalisation layers are read."
        hint = f"{_ONE_FILE[0].upper()}{_ONE_FILE[1:]}."
        raise NotAnalysedError(cause, hint)


def read_checkpoint_directory(path: Path, name: str, key: str = "") -> Saved:
    """Read a folder that `torch.distributed.checkpoint.save` wrote; nothing in it is run.

    Args:
        path: The folder, with a file `.metadata`.
        name: What the user called it.
        key: Which of several sets of weights, as `model`; the usual one by default.

    Returns:
        The weights that were chosen.

    Raises:
        NotAnalysedError: The folder is incomplete or damaged, or holds several sets and none was chosen.
        UsageError: What was chosen is not there.
    """
    require_regular(path / METADATA, f"{name.rstrip('/')}/{METADATA}")
    directory = ask_child("directory", path, name, Directory)
    with warning_of_calls(name, directory.called, keep_hint=True):
        if not directory.entries:
            raise NotAnalysedError(f"`{name}` is a checkpoint folder without a tensor.")
        entry = choose(directory.entries, key, name)
    tensors = {stored: _tensor(item, directory, path, name) for stored, item in entry.tensors.items()}
    names, notes = strip_wrappers(tensors)
    chosen = (remark(entry, directory.entries, key),) if entry.key else ()
    weights = {short: tensors[stored] for short, stored in names.items()}
    notes = (*chosen, *notes)
    return Saved(
        "state_dict", (), weights, keys=entry.keys, called=directory.called, notes=notes, before_loading=_ONE_FILE
    )


def _tensor(item: SavedTensor, directory: Directory, path: Path, name: str) -> PiecedTensor:
    pieces = tuple(_piece(piece, path, name) for piece in directory.pieces.get(item.storage, ()))
    return PiecedTensor(item, path, name, None, pieces=pieces)


def _piece(piece: Piece, path: Path, name: str) -> StoredTensor:
    return StoredTensor(
        piece.tensor, path / piece.file, f"{name.rstrip('/')}/{piece.file}", piece.region, piece.little_endian
    )
