"""Where the weights of an exported program lie in its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.inert.sandbox import read_inert
from bnlint.artifacts.inert.tensors import ITEM_SIZES, SavedTensor
from bnlint.artifacts.program_schema import DTYPES, GraphModule, Payloads, Size, TensorMeta
from bnlint.artifacts.sniff import Kind
from bnlint.artifacts.stored import StoredTensor


def tensors_of(payloads: Payloads, regions: Mapping[str, Region], path: Path, name: str) -> dict[str, StoredTensor]:
    """The tensors of one list of weights.

    Args:
        payloads: The list.
        regions: Where the members that it names lie.
        path: The file.
        name: What the user called it.

    Returns:
        The tensors by name; without values where these are pickled, empty or missing, and without those whose
        description makes no sense.
    """
    found = {}
    for tensor, payload in payloads.config.items():
        region = None if payload.use_pickle else regions.get(payload.path_name)
        # torch writes no bytes for a tensor of the fake mode, and for an empty one.
        region = region if region is not None and region.size else None
        described = _described(payload.tensor_meta, payload.path_name, region, payload.is_param)
        if described is not None:
            found[tensor] = StoredTensor(described, path, name, region)
    return found


def pickled_tensors(part: Region, path: Path, name: str) -> dict[str, StoredTensor]:
    """The tensors of a pickled state_dict that lies in the file.

    Args:
        part: Where the archive of `torch.save` lies; empty where there are no weights.
        path: The file.
        name: What the user called it.

    Returns:
        The tensors by name.

    Raises:
        NotAnalysedError: The pickle is damaged.
    """
    if not part.size:
        return {}
    contents = read_inert(path, name, Kind.TORCH_ZIP, part)
    return {
        tensor: StoredTensor(described, path, name, contents.regions.get(described.storage), contents.little_endian)
        for entry in contents.entries
        if not entry.key
        for tensor, described in entry.tensors.items()
    }


def described_tensors(program: GraphModule, path: Path, name: str) -> dict[str, StoredTensor]:
    """The parameters, buffers and constants by name, in order, as the graph describes them: without their values."""
    found = {}
    for specification in program.signature.input_specs:
        value, attribute = specification.attribute() or ("", "")
        parameter = specification.parameter is not None
        described = _described(program.graph.tensor_values.get(value), "", None, parameter)
        if attribute and described is not None:
            found[attribute] = StoredTensor(described, path, name, None)
    return found


def _described(meta: TensorMeta | None, storage: str, region: Region | None, parameter: bool) -> SavedTensor | None:
    dtype = DTYPES.get(meta.dtype) if meta is not None else None
    if meta is None or dtype not in ITEM_SIZES:
        return None
    shape, stride, offset = _numbers(meta.sizes), _numbers(meta.strides), _number(meta.storage_offset)
    if shape is None or stride is None or offset is None or len(shape) != len(stride):
        return None
    size = 0 if region is None else region.size
    return SavedTensor(dtype, shape, stride, offset, storage, size, meta.requires_grad, parameter)


def _numbers(sizes: Iterable[Size]) -> tuple[int, ...] | None:
    numbers = tuple(number for size in sizes if (number := _number(size)) is not None)
    return numbers if len(numbers) == len(tuple(sizes)) else None


def _number(size: Size) -> int | None:
    number = size.as_int
    return number if number is not None and 0 <= number < 1 << 62 else None
