"""Arrays of numpy as inputs: as numpy reads them, but within limits."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from pathlib import Path

import numpy
import pytest
import torch

from bnlint.errors import NotAnalysedError
from bnlint.tracing.inputs import read_values


def npy(header: str, data: bytes = bytes(64), length: int | None = None) -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text) if length is None else length) + text + data


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_arrays_by_name(save: object, tmp_path: Path) -> None:
    arrays = {"x": numpy.arange(6.0).reshape(2, 3), "mask": numpy.asfortranarray(numpy.eye(3, dtype=bool))}
    save(tmp_path / "x.npz", **arrays)  # type: ignore[operator]
    found = read_values(tmp_path / "x.npz")
    assert found.keys() == arrays.keys()
    assert all(torch.equal(found[name], torch.from_numpy(array)) for name, array in arrays.items())


def test_one_array(tmp_path: Path) -> None:
    numpy.save(tmp_path / "x.npy", numpy.arange(4))
    assert torch.equal(read_values(tmp_path / "x.npy"), torch.arange(4))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        npy("{", length=1 << 31),
        npy("[" * 9000),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }\n"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }\n"),
    ],
    ids=["nothing", "text", "a header of 2 GiB", "nested", "a shape of petabytes", "an object", "digits"],
)
def test_what_numpy_did_not_write_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    for name, data in (("x.npy", content), ("x.npz", packed.getvalue()), ("y.npz", content)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(NotAnalysedError) as caught:
            read_values(tmp_path / name)
        assert re.fullmatch(r"The input file .* cannot be read(: [^.]+| \(\w+\))\.", caught.value.cause)
