"""The inputs of a traced run: as given, as text, or in words for the report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from bnlint.artifacts.missing import missing_file
from bnlint.artifacts.safetensors_header import read_header
from bnlint.artifacts.zip_directory import BadDirectoryError, find_directory
from bnlint.errors import BnlintError, NotAnalysedError, UsageError
from bnlint.opening import NotRegularError, open_regular, unreadable
from bnlint.tracing.numpy_files import NumpyFileError, read_array, read_arrays

_SPECIFICATION = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>\d+(?:x\d+)*)(?::(?P<dtype>\w+))?")
_DTYPES = {
    name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype) and not name.startswith("_")
}
_USUAL_DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
)  # fmt: skip


@dataclass(frozen=True)
class Inputs:
    """The inputs of a run.

    Attributes:
        args: Positional arguments; tensors may be meta tensors, for a run without values.
        kwargs: Keyword arguments.
        assumed: Whether bnlint chose them.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    assumed: bool = False

    def __str__(self) -> str:
        """The inputs in words, such as `1x3x224x224:float32, mask=1x77:bool`."""
        parts = [_words(value) for value in self.args]
        return ", ".join([*parts, *(f"{name}={_words(value)}" for name, value in self.kwargs.items())])

    @property
    def batch_size(self) -> int | None:
        """Size of the first axis, if all tensors with axes share it."""
        sizes = {leaf.shape[0] for leaf in self.tensors() if leaf.dim() > 0}
        return sizes.pop() if len(sizes) == 1 else None

    def tensors(self) -> list[Tensor]:
        """All tensors, also those inside structures."""
        return [leaf for leaf in tree_flatten((self.args, dict(self.kwargs)))[0] if isinstance(leaf, Tensor)]


def as_inputs(given: object) -> Inputs:
    """What a user gave as `inputs`.

    Args:
        given: A tensor, a tuple or list of arguments, a dict of keyword arguments, or texts such as `1x3x224x224`,
            `1x77:int64`, `input_ids=1x128:int64` and names of `.pt`, `.npz`, `.npy` and `.safetensors` files.

    Returns:
        The inputs.

    Raises:
        UsageError: If a text is no input.
        NotAnalysedError: If a file cannot be read.
    """
    if isinstance(given, Inputs):
        return given
    if isinstance(given, (Tensor, str)):
        given = (given,)
    if isinstance(given, Mapping):
        return Inputs(kwargs={str(name): value for name, value in given.items()})
    if not isinstance(given, Sequence):
        raise UsageError(f"inputs must be a tuple of tensors, a dict of tensors or texts, not {type(given).__name__}.")
    return _combine(_one(item) for item in given)


def _combine(parts: Iterable[Inputs]) -> Inputs:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for part in parts:
        args.extend(part.args)
        kwargs.update(part.kwargs)
    return Inputs(tuple(args), kwargs)


def _one(item: object) -> Inputs:
    if not isinstance(item, str):
        return Inputs((item,))
    match = _SPECIFICATION.fullmatch(item)
    if match is not None:
        return _from_specification(match)
    if Path(item).suffix in (".pt", ".pth", ".npz", ".npy", ".safetensors"):
        return _from_file(Path(item))
    raise UsageError(
        f"{item!r} is not an input.",
        "Write a shape such as 1x3x224x224, 1x77:int64 or name=1x77:int64, or a .pt or .npz file.",
    )


def _from_specification(match: re.Match[str]) -> Inputs:
    name, dtype_name = match["name"], match["dtype"] or "float32"
    dtype = _DTYPES.get(dtype_name)
    if dtype is None:
        nearest = get_close_matches(dtype_name, _USUAL_DTYPES, n=1)
        raise UsageError(
            f"{dtype_name!r} is not a data type of torch.", f"Did you mean {nearest[0]!r}?" if nearest else ""
        )
    try:
        tensor = torch.empty([int(size) for size in match["shape"].split("x")], dtype=dtype, device="meta")
    except (ValueError, TypeError, RuntimeError) as error:  # too many digits, too many bits, too many elements
        raise UsageError(f"The input {match[0]} is larger than any tensor.") from error
    return Inputs(kwargs={name: tensor}) if name else Inputs((tensor,))


def _from_file(path: Path) -> Inputs:
    return _from_value(path, read_values(path))


def read_values(path: Path) -> Any:
    """The tensors in a file: one, or a structure of them as it was saved; nothing in the file is run.

    Args:
        path: A `.pt` or `.pth` file of `torch.save`, a `.npz` or `.npy` file of numpy, or a `.safetensors` file.

    Raises:
        UsageError: If there is no such file.
        NotAnalysedError: If it cannot be read.
    """
    try:
        with open_regular(path) as file:
            return _tensors_in(file, path)
    except FileNotFoundError:
        raise missing_file(str(path)) from None
    except NotRegularError as error:
        raise unreadable(str(path), error) from error
    except BnlintError:
        raise
    except Exception as error:
        why = f": {error}" if isinstance(error, (BadDirectoryError, NumpyFileError)) else f" ({type(error).__name__})"
        cause = f"The input file {path} cannot be read{why}."
        raise NotAnalysedError(cause, "Save tensors with torch.save or numpy.savez.") from error


def _tensors_in(file: BinaryIO, path: Path) -> Any:
    if path.suffix == ".safetensors":
        return {name: stored.as_torch() for name, stored in read_header(path, str(path)).items()}
    if path.suffix == ".npy":
        return torch.from_numpy(read_array(file))
    if path.suffix == ".npz":
        return {name: torch.from_numpy(array) for name, array in read_arrays(file).items()}
    if file.read(4) == b"PK\x03\x04":
        find_directory(file)  # torch would read a list of contents of any length
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def _from_value(path: Path, value: Any) -> Inputs:
    if isinstance(value, Tensor):
        return Inputs((value,))
    if isinstance(value, (list, tuple)):
        return Inputs(tuple(value))
    if not isinstance(value, dict):
        raise NotAnalysedError(f"The input file {path} holds a {type(value).__name__}, not tensors.")
    if all(str(key).startswith("arr_") for key in value):  # the names that numpy.savez gives to unnamed arrays
        return Inputs(tuple(value.values()))
    return Inputs(kwargs=value)


def _words(value: Any) -> str:
    if isinstance(value, Tensor):
        shape = "x".join(map(str, value.shape)) or "scalar"
        return f"{shape}:{str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_words, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_words(item)}" for key, item in value.items()) + "}"
    return repr(value) if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__
