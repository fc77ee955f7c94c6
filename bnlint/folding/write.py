"""Writes a folded model and its record into two files, from which `place` moves them to where they belong."""

from __future__ import annotations

import enum
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from bnlint.artifacts.user_code import described
from bnlint.errors import NotAnalysedError
from bnlint.folding.place import Staged, cannot_be_written
from bnlint.folding.record import FileRecord, FoldRecord
from bnlint.opening import open_regular, unreadable
from bnlint.tracing.door import looking_at_a_model

_WEIGHTS_ALONE = "Give an output that ends in .safetensors to write its weights alone."


class Form(enum.StrEnum):
    """The forms of a folded file."""

    MODULE = "module"
    """The whole model, pickled by `torch.save`."""
    STATE_DICT = "state_dict"
    """The weights by name, saved by `torch.save`."""
    SAFETENSORS = "safetensors"
    """The weights by name, as safetensors."""
    PROGRAM = "exported_program"
    """A program, saved by `torch.export.save`."""


def form_for(output: Path, source: str) -> Form:
    """The form of a folded file.

    Args:
        output: Where it goes; the suffixes `.safetensors`, `.pt2`, `.pt`, `.pth` and `.bin` ask for a form.
        source: Form of what was read, as in `Artifact.form`; it decides all else.
    """
    suffix = output.suffix.lower()
    if suffix == ".safetensors":
        return Form.SAFETENSORS
    if suffix == ".pt2" or source == "exported_program":
        return Form.PROGRAM
    if source in ("module", "pickled_module"):
        return Form.MODULE
    if source == "safetensors" and suffix not in (".pt", ".pth", ".bin"):
        return Form.SAFETENSORS
    return Form.STATE_DICT


def hash_file(path: Path) -> FileRecord:
    """The name and the hash of a file.

    Raises:
        NotAnalysedError: If it cannot be read.
    """
    try:
        with open_regular(path) as file:
            return FileRecord(path.name, hashlib.file_digest(file, "sha256").hexdigest())
    except (OSError, ValueError) as error:
        raise unreadable(path.name, error) from error


def write_files(
    model: nn.Module | ExportedProgram, output: Path, files: Staged, form: Form, record: FoldRecord
) -> FoldRecord:
    """Write a folded model, and its record.

    Args:
        model: The folded model; a program for `Form.PROGRAM`.
        output: What the user called the output.
        files: The two files, which are not there yet.
        form: In which form.
        record: What was folded; the file written is added.

    Returns:
        The record as it was written.

    Raises:
        NotAnalysedError: If the model cannot be saved, there is no space, or a file cannot be written.
    """
    save = _SAVERS[form]
    try:
        _require_space(model, output, files.model.parent)
        with files.model.open("x+b") as stream:
            save(model, stream)
            _flush(stream)
        written = FileRecord(output.name, hash_file(files.model).sha256)
        record = msgspec.structs.replace(record, folded=written, form=str(form))
        with files.record.open("x+b") as stream:
            stream.write(record.encode().encode())
            _flush(stream)
    except OSError as error:
        raise cannot_be_written(output, error) from error
    return record


def _require_space(model: nn.Module | ExportedProgram, output: Path, folder: Path) -> None:
    """Refuse to begin a file that cannot be finished; a file that is replaced stays until the new one is whole."""
    storages = {tensor.data_ptr(): tensor.nbytes for tensor in _state(model).values() if isinstance(tensor, Tensor)}
    needed, free = sum(storages.values()), shutil.disk_usage(folder).free
    if needed > free:
        cause = f"There is no space for `{output}`: it takes {_mebibytes(needed)}, and {_mebibytes(free)} are free."
        raise NotAnalysedError(cause, "Make room, or name an output on another disk.")


def _mebibytes(number: int) -> str:
    return f"{number / 2**20:.1f} MiB"


def _state(model: nn.Module | ExportedProgram) -> Mapping[str, Any]:
    with looking_at_a_model("saved"):
        state: Mapping[str, Any] = model.state_dict if isinstance(model, ExportedProgram) else model.state_dict()
    return state


def _flush(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _save_module(model: nn.Module | ExportedProgram, stream: IO[bytes]) -> None:
    _save_by(torch.save, model, stream, _WEIGHTS_ALONE)


def _save_state_dict(model: nn.Module | ExportedProgram, stream: IO[bytes]) -> None:
    _save_by(torch.save, _state(model), stream, "")


def _save_program(model: nn.Module | ExportedProgram, stream: IO[bytes]) -> None:
    _save_by(torch.export.save, model, stream, _WEIGHTS_ALONE)


def _save_by(save: Callable[[Any, IO[bytes]], None], value: Any, stream: IO[bytes], hint: str) -> None:
    try:
        save(value, stream)
    except OSError:
        raise
    except BaseException as error:  # pickling runs the code of the model; a full disk shows as a RuntimeError too
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        cause = f"The folded model cannot be saved: {described(error)}."
        raise NotAnalysedError(cause, hint) from error


def _save_safetensors(model: nn.Module | ExportedProgram, stream: IO[bytes]) -> None:
    from safetensors.torch import save

    state = _state(model)
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise NotAnalysedError(
            f"The entry `{others[0]}` of the state_dict is no tensor, and safetensors hold nothing else.",
            "Give an output that ends in .pt.",
        )
    stream.write(save(_apart(state), {"format": "pt"}))


def _apart(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, each with a storage of its own, as the format requires."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in state.items():
        own = tensor.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        tensors[name] = own.clone() if place in seen else own
        seen.add(place)
    return tensors


_SAVERS: Mapping[Form, Callable[[nn.Module | ExportedProgram, IO[bytes]], None]] = {
    Form.MODULE: _save_module,
    Form.STATE_DICT: _save_state_dict,
    Form.SAFETENSORS: _save_safetensors,
    Form.PROGRAM: _save_program,
}
