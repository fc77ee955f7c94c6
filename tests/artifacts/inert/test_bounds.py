"""Bounds on what a file can make bnlint read or write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bnlint.artifacts.inert.regions import LARGEST_TENSOR, OutsideFileError, Region, read_values
from bnlint.artifacts.inert.tensors import SavedTensor
from bnlint.artifacts.program_schema import Payload, Payloads, Size, TensorMeta
from bnlint.artifacts.program_tensors import tensors_of

_WRITE = """
import sys
from bnlint.artifacts.inert.child import MEMORY, SECONDS, _limit
_limit(MEMORY, SECONDS)
with open(sys.argv[1], "wb", buffering=0) as file:
    try:
        file.write(b"x")
    except OSError as error:
        print(error.strerror)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits on processes")
def test_a_child_can_write_no_byte_to_a_file(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _WRITE, tmp_path / "x"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "File too large"
    assert (tmp_path / "x").read_bytes() == b""


def sparse(path: Path, size: int) -> Region:
    with path.open("wb") as file:
        file.truncate(size)
    return Region(0, size)


def test_two_numbers_that_lie_far_apart_are_not_read_with_all_between(tmp_path: Path) -> None:
    path = tmp_path / "storage"
    region = sparse(path, 4 * (LARGEST_TENSOR + 1))
    near = SavedTensor("float32", (2,), (LARGEST_TENSOR - 1,), 0, "0", region.size, False)
    assert read_values(path, near, region).tolist() == [0, 0]
    far = SavedTensor("float32", (2,), (LARGEST_TENSOR,), 0, "0", region.size, False)
    with pytest.raises(OutsideFileError):
        read_values(path, far, region)


@pytest.mark.parametrize("part", ["sizes", "strides", "storage_offset"])
def test_a_number_in_a_program_that_no_tensor_has_is_not_believed(part: str) -> None:
    def described(number: int) -> bool:
        fields = {"sizes": [Size(1)], "strides": [Size(1)], "storage_offset": Size(0)}
        fields[part] = Size(number) if part == "storage_offset" else [Size(number)]
        meta = TensorMeta(dtype=7, **fields)
        payloads = Payloads(config={"bn.weight": Payload("weight_0", True, False, meta)})
        return "bn.weight" in tensors_of(payloads, {}, Path("x"), "x")

    assert described((1 << 62) - 1)
    assert not described(1 << 62)
    assert not described(-1)
