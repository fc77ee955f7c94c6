"""Hostile files of every form that is one file, as bytes."""

from __future__ import annotations

import io
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import helper
from torch import nn

from tests.artifacts.inert.hostile import HOSTILE, commands, rebuilt, rezipped, saved, shared_attributes
from tests.artifacts.onnx_models import CONV_NORM, VALUES, call, model_of, noted
from tests.artifacts.test_onnx import external
from tests.models import with_plausible_statistics


def network() -> nn.Module:
    return with_plausible_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))).eval()


def legacy(pickled: bytes) -> bytes:
    """A file in the form from before torch 1.6 around a pickle."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    return b"".join(pickle.dumps(item, 2) for item in head) + pickled + pickle.dumps([], 2)


def in_zip(pickled: bytes, **others: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, data in others.items():
            archive.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def pickles(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Pickles that run something, in each of the three forms and by protocols of each kind; and those that only lie."""
    for protocol in (0, 2, 4):  # all of them: tests/artifacts/inert/test_hostile.py
        for name, value in commands(canary).items():
            content = pickle.dumps(value, protocol)
            yield f"plain {protocol} {name}", content
            yield f"zip {protocol} {name}", in_zip(content)
            yield f"legacy {protocol} {name}", legacy(content)
    for name, content in HOSTILE.items():
        yield f"plain {name}", b"\x80\x02" + content
        yield f"zip {name}", in_zip(content)
        yield f"legacy {name}", legacy(content)


def many_tensors(number: int) -> bytes:
    """A header of so many tensors without values."""
    item = b'"%x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return b"{" + b",".join(item % index for index in range(number)) + b"}"


def archives() -> Iterator[tuple[str, bytes]]:
    good = saved(network().state_dict())

    def named(old: str, new: str) -> bytes:
        return rezipped(good, lambda name, data: (name.replace(old, new), data))

    def directory(place: int, value: bytes) -> bytes:
        """The archive with other bytes in each entry of its list of contents."""
        changed, start = bytearray(good), good.index(b"PK\x01\x02")
        while (start := changed.find(b"PK\x01\x02", start)) >= 0:
            changed[start + place : start + place + len(value)] = value
            start += 4
        return bytes(changed)

    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"N0" * (1 << 26))
    yield "attributes that modules share", in_zip(shared_attributes())
    yield "zip bomb", bomb.getvalue()
    yield "compressed", rezipped(good, lambda name, data: (name, data), zipfile.ZIP_DEFLATED)
    yield "names that climb", named("archive/", "../../../")
    yield "names that climb inside", named("archive/data", "archive/../../data")
    yield "absolute names", named("archive/", "/tmp/")
    yield "names of Windows", named("archive/", "C:\\")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twice = io.BytesIO(good)
        with zipfile.ZipFile(twice, "a") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({}))
    yield "two members of one name", twice.getvalue()
    yield "members far outside", directory(42, b"\xf0\xff\xff\x7f")
    yield "members of gigabytes", directory(20, b"\xf0\xff\xff\x7f\xf0\xff\xff\x7f")
    yield "encrypted members", directory(8, b"\x01")
    yield "names as long as the file", directory(28, b"\xff\xff")
    yield "the other byte order", rezipped(good, lambda name, data: (name, b"big" if "byteorder" in name else data))
    yield "no byte order", rezipped(good, lambda name, data: (name, b"\xff" * 99 if "byteorder" in name else data))
    numbers: tuple[tuple[Any, ...], ...] = (
        (1, (8,), (1,)), (0, (9,), (1,), 9), (0, (8,), (2**40,)), (2**60, (1,), (1,)), (0, (2**40,), (0,)),
        (0, (8,), (-1,)), (-4, (8,), (1,)), (0, (2**61,) * 60, (1,) * 60), (0, (), (1,)),
    )  # fmt: skip
    for row in numbers:
        yield f"view {row}", rebuilt(*row)


def safetensors() -> Iterator[tuple[str, bytes]]:
    def of(header: object, data: bytes = bytes(64), length: int | None = None) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + data

    item = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    yield "header of terabytes", of({"a": item}, length=1 << 62)
    yield "header nested without end", of(b'{"a":' + b"[" * 10**6)
    yield "header of lists", of(b'{"__metadata__":{"a":[' + b"[]," * 10**7 + b"[]]}}")
    yield "header of many parts", of(b"{" + b",".join(b'"%x":1' % number for number in range(1 << 20)) + b"}")
    yield "header of many tensors", of(many_tensors(500_000))
    yield "shape of a million axes", of(b'{"a":{"dtype":"F32","shape":[' + b"1," * 10**6 + b'1],"data_offsets":[0,4]}}')
    yield "offsets outside", of({"bn.weight": {**item, "data_offsets": [1 << 50, (1 << 50) + 16]}})
    yield "offsets that run back", of({"bn.weight": {**item, "data_offsets": [16, 0]}})
    yield "negative offsets", of({"bn.weight": {**item, "data_offsets": [-16, 0]}})
    yield "a negative shape", of({"bn.weight": {**item, "shape": [-2, -2]}})
    yield "a shape beyond numbers", of({"bn.weight": {**item, "shape": [1 << 63]}})
    yield "names that act on the terminal", of({"\x1b[2J\x1b]0;owned\x07.running_mean": item, "a\nb.running_var": item})
    yield "names that climb", of({"../../bn.running_mean": item})


def onnx_files(canary: Path) -> Iterator[tuple[str, bytes]]:
    def of(*calls: onnx.NodeProto, **options: Any) -> bytes:
        return model_of(calls or CONV_NORM, **options).SerializeToString()

    for location in ("/etc/passwd", "../../../etc/passwd", str(canary)):
        yield f"external {location}", of(constants=VALUES | {"bn.running_var": external("bn.running_var", location)})
    code = f"__import__('os').system('touch {canary}')"
    yield "code in notes", of(noted(CONV_NORM[0], [code], [code], code), *CONV_NORM[1:])
    hash_error = noted(CONV_NORM[0], [], [])
    for entry in hash_error.metadata_props:
        entry.value = "{[]: 1}"
    yield "a note that is no list", of(hash_error, *CONV_NORM[1:])
    function = helper.make_function(
        "own", "f", ["a"], ["b"], [helper.make_node("f", ["a"], ["b"], domain="own")], [helper.make_opsetid("own", 1)]
    )
    yield (
        "a function that calls itself",
        of(helper.make_node("f", ["x"], ["y"], domain="own"), functions=[function], constants={}),
    )
    axes = onnx.TensorProto(name="bn.running_var", data_type=1, dims=[1] * 100_000, raw_data=bytes(4))
    yield "a million axes", of(constants=VALUES | {"bn.running_var": axes})
    yield "an operator from elsewhere", of(call("\x1b[2J", ["x"], "y"), constants={})
