"""Headers that want to use up the machine: they are read in the process that writes the report."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from bnlint.artifacts.json_size import MOST_COLONS
from bnlint.artifacts.safetensors_header import describe
from tests.cli.hostile_contents import many_tensors

ROOT = Path(__file__).parents[2]


def of(header: bytes, data: bytes = bytes(64)) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b'{"a":{"dtype":"F32","shape":[' + b"1," * 10**6 + b'1],"data_offsets":[0,4]}}', "length <= 64"),
        (b'{"__metadata__":{"a":"' + b":" * (MOST_COLONS + 1) + b'"}}', "more parts than that of any model"),
        (many_tensors(150_000), "more parts than that of any model"),
        (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}', "beyond the end"),
        (b'{"a":{"dtype":"F32","shape":[-2,-2],"data_offsets":[0,16]}}', "beyond the end"),
        (b'{"a":{"dtype":"F32","shape":[4,4],"data_offsets":[0,16]}}', "bytes that its shape needs"),
    ],
)
def test_headers_that_no_library_writes_are_refused(header: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(describe(io.BytesIO(of(header))))


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on memory")
def test_what_is_not_read_takes_no_memory(tmp_path: Path) -> None:
    """Ten million empty lists would take 600 MB as Python objects."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(of(b'{"__metadata__":{"a":[' + b"[]," * 10**7 + b"[]]}}"))
    program = (
        "import resource, sys; from bnlint.artifacts.safetensors_header import describe;"
        " resource.setrlimit(resource.RLIMIT_DATA, (1 << 28, 1 << 28)); print(list(describe(open(sys.argv[1], 'rb'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout == "[]\n", done.stderr
