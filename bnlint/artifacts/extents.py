"""The least and the greatest value of many tensors in files: those that lie side by side are read at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bnlint.artifacts.inert.regions import LARGEST_TENSOR, decode
from bnlint.artifacts.inert.tensors import ITEM_SIZES
from bnlint.artifacts.stored import StoredTensor
from bnlint.errors import NotAnalysedError
from bnlint.opening import open_regular

if TYPE_CHECKING:
    import numpy

Extent = tuple[float, float]
"""The least and the greatest value; both are NaN where one is."""

MOST_BYTES: Final = 1 << 30
"""Bytes of all tensors that are looked at together. The normalisation layers of the largest published models have some
million values; but a small file can describe thousands of tensors in one storage."""

_AT_ONCE: Final = 1 << 20
"""Bytes that are read at once."""

_GAP: Final = 256
"""Bytes between two tensors that are read with them: what a zip archive has between its members is less."""


_Place = tuple[int, int, int]
"""Where a tensor lies: its first byte, the byte behind its last, and its number among all."""


def extents(tensors: Sequence[StoredTensor]) -> list[Extent | None]:
    """The least and the greatest values of tensors in files.

    Args:
        tensors: Those of normalisation layers, of any number of files.

    Returns:
        For each tensor its extent, integers for a tensor of integers; `None` for one that has to be read by itself: it
        is empty, complex, of several axes or not contiguous, lies in several pieces, or not within its file.

    Raises:
        NotAnalysedError: They have more values than any model.
    """
    found: list[Extent | None] = [None for _ in tensors]
    groups: dict[tuple[Path, str, bool], list[_Place]] = {}
    total = 0
    for number, tensor in enumerate(tensors):
        place = _place(tensor, number)
        total += _size(tensor) if place is None else place[1] - place[0]
        if total > MOST_BYTES:
            cause = f"The normalisation layers in `{tensor.name}` have more values than those of any model."
            raise NotAnalysedError(cause, "Tensors that share a storage count each by themselves.")
        if place is not None:
            groups.setdefault((tensor.file, tensor.description.dtype, tensor.little_endian), []).append(place)
    for (file, dtype, little_endian), places in groups.items():
        for run, data in _read(file, places, ITEM_SIZES[dtype]):
            of_run = _reduced(decode(data, dtype, little_endian), run, ITEM_SIZES[dtype])
            for (_, _, number), extent in zip(run, of_run, strict=True):
                found[number] = extent
    return found


def _size(tensor: StoredTensor) -> int:
    """How many bytes the values of a tensor take that are looked at."""
    number = tensor.description.numel
    return number * ITEM_SIZES[tensor.dtype] if number <= LARGEST_TENSOR and tensor.has_values else 0


def _place(tensor: StoredTensor, number: int) -> _Place | None:
    """Where a tensor lies that can be read together with others."""
    described, region = tensor.description, tensor.region
    shape = described.shape
    if type(tensor) is not StoredTensor or region is None or len(shape) > 1 or described.dtype.startswith("complex"):
        return None
    size = shape[0] if shape else 1
    item = ITEM_SIZES[described.dtype]
    end = (described.offset + size) * item
    if not 0 < size * item <= _AT_ONCE or (size > 1 and described.stride != (1,)) or end > region.size:
        return None
    return region.start + end - size * item, region.start + end, number


def _read(path: Path, places: list[_Place], item: int) -> Iterator[tuple[list[_Place], bytes]]:
    """Tensors that lie close together, with the bytes from first to last; those beyond the file are left out."""
    # A buffer would fetch 8 KiB for what has a few hundred bytes.
    with open_regular(path, buffering=0) as file:
        for run in _runs(places, item):
            start, end = run[0][0], run[-1][1]
            file.seek(start)
            data = file.read(end - start)
            if len(data) == end - start:
                yield run, data


def _runs(places: list[_Place], item: int) -> Iterator[list[_Place]]:
    """The tensors in groups that lie one after the other, with less than a gap between them."""
    run: list[_Place] = []
    for place in sorted(places):
        if run:
            start, end, _ = place
            first, last = run[0][0], run[-1][1]
            if not last <= start <= last + _GAP or end - first > _AT_ONCE or (start - first) % item:
                yield run
                run = []
        run.append(place)
    if run:
        yield run


def _reduced(values: numpy.ndarray, run: Sequence[_Place], item: int) -> Iterator[Extent]:
    import numpy

    # Where each tensor begins and ends: every second part is a gap. The last one ends with the values.
    bounds = ((numpy.array(run)[:, :2] - run[0][0]) // item).ravel()[:-1]
    lows = numpy.minimum.reduceat(values, bounds)[::2].tolist()
    highs = numpy.maximum.reduceat(values, bounds)[::2].tolist()
    return zip(lows, highs, strict=True)
