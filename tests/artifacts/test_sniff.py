"""Files are told by their content, and no content is too odd."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from bnlint.artifacts.sniff import Content, Kind, sniff


def _sniff(data: bytes) -> Content:
    return sniff(io.BytesIO(data))


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def _saved(value: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def _safetensors(header_length: int, data: bytes = b"") -> bytes:
    return struct.pack("<Q", header_length) + b"{}".ljust(header_length) + data


_STARTS = st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04", b"\x00\x01\0\0\0\0\0\0{", b"{", b"version "])
_GOOD_ZIP = _zip("archive/data.pkl", "archive/version")


@given(st.builds(bytes.__add__, _STARTS, st.binary(max_size=300)))
@example(b"\xff" * 8 + b"{")
def test_any_bytes_get_an_answer(data: bytes) -> None:
    content = _sniff(data)
    assert content.words
    assert content.kind in Kind


@given(st.integers(0, len(_GOOD_ZIP) - 1), st.integers(0, 255))
def test_a_damaged_zip_gets_an_answer(position: int, byte: int) -> None:
    damaged = bytearray(_GOOD_ZIP)
    damaged[position] = byte
    assert _sniff(bytes(damaged)).words


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (_saved({"w": torch.zeros(2)}), Kind.TORCH_ZIP),
        (_saved({"w": torch.zeros(2)}, _use_new_zipfile_serialization=False), Kind.TORCH_LEGACY),
        (_saved({"w": torch.zeros(2)}, _use_new_zipfile_serialization=False, pickle_protocol=4), Kind.TORCH_LEGACY),
        (_saved({"w": torch.zeros(2)}, _use_new_zipfile_serialization=False, pickle_protocol=1), Kind.TORCH_LEGACY),
        (b"\x80\x04N.", Kind.PICKLE),
        *((pickle.dumps(nn.ReLU(), protocol), Kind.PICKLE) for protocol in (0, 1)),
        *((pickle.dumps({"w": torch.zeros(2)}, protocol), Kind.PICKLE) for protocol in (0, 1)),
        *((pickle.dumps(nn.ReLU().state_dict(), protocol), Kind.PICKLE) for protocol in (0, 1)),
        (_safetensors(16), Kind.SAFETENSORS),
        (_zip("a/archive_format", "a/models/model.json"), Kind.PROGRAM),
        (_zip("a/archive_format", "a/models/model.json", "a/data/aotinductor/model/code.so"), Kind.PROGRAM),
        (_zip("serialized_exported_program.json", "version"), Kind.PROGRAM),
    ],
    ids=[
        "zip",
        "legacy",
        "legacy protocol 4",
        "legacy protocol 1",
        "pickle",
        "module, protocol 0",
        "module, protocol 1",
        "dict, protocol 0",
        "dict, protocol 1",
        "state_dict, protocol 0",
        "state_dict, protocol 1",
        "safetensors",
        "program",
        "with code",
        "old program",
    ],
)
def test_formats_that_are_read(data: bytes, kind: Kind) -> None:
    assert _sniff(data).kind is kind


@pytest.mark.parametrize(
    "data",
    [
        b"(S'id'\nios\nsystem\n.",
        b"(S'id'\nios\nsystem\n\xff",
        b"(cos\nsystem\nS'id'\no.",
        b"](cos\nsystem\nX\x02\x00\x00\x00id\x85Re.",
        b"\x80\x01cos\nsystem\n(X\x02\x00\x00\x00idtR.",
        b"\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
        b"N0cos\nsystem\n(X\x00\x10\x00\x00" + bytes(4096) + b"tR.",
    ],
)
def test_a_pickle_that_no_pickler_wrote(data: bytes) -> None:
    assert _sniff(data).kind is Kind.PICKLE


@pytest.mark.parametrize(
    "text",
    [
        "import os\nimport sys\n",
        "config\nvalue\nmore\n",
        "item\nname\nxyz\n",
        "(see\nbelow)\n",
        "I1\nI2\n.",
        "N.",
    ],
)
@pytest.mark.parametrize("repeats", [1, 2000])
def test_a_text_is_no_pickle(text: str, repeats: int) -> None:
    assert _sniff(text.encode() * repeats).kind is Kind.UNREADABLE


@pytest.mark.parametrize("header_length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_safetensors_header_length_that_looks_like_a_pickle(header_length: int) -> None:
    assert _sniff(_safetensors(header_length)).kind is Kind.SAFETENSORS


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG image"),
        (b"import torch\n", "text"),
        (b"cats\ndogs\nparrots\n", "text"),
        ("grüße ".encode() * 1000, "text"),
        (b"\n<!DOCTYPE html><html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"PK\x03\x04" + b"\0" * 100, "cut short"),
        (_zip("a/archive_format", "a/data/aotinductor/model/code.so"), "native code: nothing to read"),
        (_zip("arr_0.npy"), "zip archive that torch.save did not write"),
        (struct.pack("<Q", 10**6) + b"{}", "cut short"),
        (struct.pack("<Q", 2**63) + b"{}", "cut short"),
        (bytes(range(200, 250)), "does not know"),
    ],
)
def test_what_is_not_read_is_named(data: bytes, words: str) -> None:
    content = _sniff(data)
    assert content.kind is Kind.UNREADABLE
    assert words in content.words


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (_zip("a/data.pkl", "a/constants.pkl"), Kind.TORCHSCRIPT),
        (_zip("a/.data/extern_modules", "a/model/model.pkl"), Kind.PACKAGE),
        (b'{"metadata": {"total_size": 3}, "weight_map": {"a": "b"}}', Kind.INDEX),
        (b'{"weights": 3}', Kind.UNREADABLE),
    ],
)
def test_archives_and_indexes_are_told_by_their_content(data: bytes, kind: Kind) -> None:
    assert _sniff(data).kind is kind
