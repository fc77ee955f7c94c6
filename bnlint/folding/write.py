"""Writes a folded model and its record: both whole, or nothing."""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from bnlint.artifacts.user_code import first_line
from bnlint.errors import NotAnalysedError
from bnlint.folding.record import FileRecord, FoldRecord, beside
from bnlint.opening import is_there, open_regular, resolved, unreadable

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


def write_folded(model: nn.Module | ExportedProgram, output: Path, form: Form, record: FoldRecord) -> FoldRecord:
    """Write a folded model, and its record beside it; files that are there are replaced in one step.

    Args:
        model: The folded model; a program for `Form.PROGRAM`.
        output: Where it goes; a symbolic link stays, and what it points to is replaced.
        form: In which form.
        record: What was folded; the file written is added.

    Returns:
        The record as it was written.

    Raises:
        NotAnalysedError: If the model cannot be saved, there is no space, or the file cannot be written. Then no file
            was changed or added.
    """
    save = _SAVERS[form]
    try:
        place = resolved(output)
        _require_space(model, output, place.parent)
        with _temporary(place) as model_file, _temporary(beside(place)) as record_file:
            with model_file.open("r+b") as stream:
                save(model, stream)
                _flush(stream)
            written = FileRecord(output.name, hash_file(model_file).sha256)
            record = msgspec.structs.replace(record, folded=written, form=str(form))
            with record_file.open("r+b") as stream:
                stream.write(record.encode().encode())
                _flush(stream)
            _replace(record_file, beside(place), model_file, place)
    except OSError as error:
        raise NotAnalysedError(f"`{output}` cannot be written: {error.strerror or first_line(error)}.") from error
    _flush_folder(place.parent)
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
    return model.state_dict if isinstance(model, ExportedProgram) else model.state_dict()


def _replace(record_file: Path, record_place: Path, model_file: Path, place: Path) -> None:
    """The record first: beside an older model it does not fit, which `bnlint verify` sees."""
    is_new = not is_there(record_place)
    if is_there(place):
        shutil.copymode(place, model_file)
    record_file.replace(record_place)
    try:
        model_file.replace(place)
    except BaseException:
        if is_new:
            record_place.unlink()
        raise


@contextlib.contextmanager
def _temporary(place: Path) -> Iterator[Path]:
    """An empty file in the folder of another, so that it can be moved there in one step; it is gone afterwards."""
    path = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
    path.open("xb").close()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _flush(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every system can open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
    except Exception as error:  # pickling runs the code of the model; a full disk shows as a RuntimeError too
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        cause = f"The folded model cannot be saved: {type(error).__name__}: {first_line(error)}."
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
