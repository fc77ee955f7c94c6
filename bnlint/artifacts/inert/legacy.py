"""Files of `torch.save` from before torch 1.6, and plain pickles: chains of pickles, with the storages behind them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Final

from bnlint.artifacts.inert.archive import Opened
from bnlint.artifacts.inert.inline import note_inline, read_inline
from bnlint.artifacts.inert.machine import LARGEST_PICKLE, BadPickleError, Names, Pickled, read_pickle
from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.inert.tensors import ITEM_SIZES, as_storage
from bnlint.artifacts.inert.values import mapping
from bnlint.opening import open_regular

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_COUNT_BYTES: Final = 8
"""Before the bytes of each storage stands its number of elements."""


def open_legacy(path: Path, seen: Names | None = None) -> Opened:
    """Open a file that `torch.save` wrote before torch 1.6, or with `_use_new_zipfile_serialization=False`.

    Args:
        path: The file.
        seen: Gets the names in its pickles, all of which torch reads.

    Returns:
        Its pickle as data, and where its storages lie.

    Raises:
        BadPickleError: The file is damaged or cut short.
    """
    seen = seen or Names()
    with open_regular(path) as file:
        if read_pickle(file, seen).value != _MAGIC:
            raise BadPickleError("it does not begin with the number that torch.save writes")
        read_pickle(file, seen)  # the version of the form, 1001 in every release
        machine = mapping(read_pickle(file, seen).value) or {}
        little = machine.get("little_endian") is not False
        pickled = read_pickle(file, seen)
        keys = read_pickle(file, seen).value
        note_inline(seen)
        return Opened(pickled, _regions(file, keys, pickled, little), little)


def open_plain(path: Path, seen: Names | None = None) -> Opened:
    """Open a pickle that `torch.save` did not write.

    Args:
        path: The file.
        seen: Gets the names in it.

    Raises:
        BadPickleError: The file is damaged or cut short.
    """
    with open_regular(path) as file:
        pickled = read_pickle(file, seen)
        if not pickled.inline:
            return Opened(pickled, {}, True)
        file.seek(0)
        opened = _with_inline(pickled, file.read(LARGEST_PICKLE))
    note_inline(pickled)
    return opened


def _with_inline(pickled: Pickled, data: bytes) -> Opened:
    """Find the storages that stand in the pickle; where it writes bytes as text (protocols 0 to 2), there are none."""
    regions: dict[str, Region] = {}
    little, end = True, 0
    for blob in pickled.inline:
        inner = read_inline(blob)
        if inner.storage is None or inner.key in regions:
            continue
        # They come in the order of the calls: looking on from the last keeps the time linear.
        start = data.find(blob, end)
        if start < 0:
            break
        end = start + len(blob)
        little = inner.little_endian
        regions[inner.key] = Region(start + inner.start, max(0, len(blob) - inner.start))
    return Opened(pickled, regions, little)


def _regions(file: IO[bytes], keys: object, pickled: Pickled, little: bool) -> dict[str, Region]:
    storages = {storage.key: storage for item in pickled.persistent if (storage := as_storage(item)) is not None}
    size = os.fstat(file.fileno()).st_size
    regions: dict[str, Region] = {}
    position = file.tell()
    for key in keys if isinstance(keys, list) else []:
        file.seek(position)
        count = int.from_bytes(file.read(_COUNT_BYTES), "little" if little else "big")
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise BadPickleError("it lists a storage that no tensor uses")
        length = count * ITEM_SIZES[storage.dtype]
        position += _COUNT_BYTES
        if position + length > size:
            raise BadPickleError("its storages reach beyond the end of the file")
        regions[storage.key] = Region(position, length)
        position += length
    return regions
