"""Arrays in `.npy` and `.npz` files, within limits that numpy does not have."""

from __future__ import annotations

import zipfile
from typing import IO, BinaryIO, Final

import numpy

from bnlint.artifacts.zip_directory import find_directory

LARGEST_HEADER: Final = 1 << 16
"""Bytes of the header of an array, as numpy itself writes it for all but records of thousands of fields."""

_MAGIC: Final = b"\x93NUMPY"


class NumpyFileError(ValueError):
    """A file that numpy did not write."""


def read_array(file: IO[bytes]) -> numpy.ndarray:
    """Read one array; nothing in the file is unpickled.

    Args:
        file: A `.npy` file at its start.

    Raises:
        NumpyFileError: It is none.
        Exception: Whatever numpy raises of a damaged one.
    """
    head = file.read(12)
    # Version 1 has two bytes for the length of the header, and later ones have four; numpy reads as much as they say.
    length = int.from_bytes(head[8:10] if head[6:7] == b"\x01" else head[8:12], "little")
    if not head.startswith(_MAGIC) or length > LARGEST_HEADER:
        raise NumpyFileError("it holds what numpy did not write")
    file.seek(0)
    array: numpy.ndarray = numpy.lib.format.read_array(file, allow_pickle=False)
    return array


def read_arrays(file: BinaryIO) -> dict[str, numpy.ndarray]:
    """Read the arrays of a `.npz` file by name.

    Args:
        file: The file.

    Raises:
        BadDirectoryError: It is no zip archive, or its list of contents is longer than any.
        NumpyFileError: A member is no array.
        Exception: Whatever numpy and zipfile raise of a damaged one.
    """
    find_directory(file)  # zipfile would read a list of contents of any length
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:
                arrays[member.filename.removesuffix(".npy")] = read_array(stream)
    return arrays
