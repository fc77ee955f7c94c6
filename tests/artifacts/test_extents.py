"""The least and the greatest values of many tensors: as by themselves, in one read, and without a raw warning."""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy
import pytest
import torch
from torch import nn

import bnlint
from bnlint.artifacts import extents
from bnlint.artifacts.extents import extents as extents_of
from bnlint.artifacts.read import read
from bnlint.artifacts.safetensors_header import read_header
from bnlint.facts.unknown import UNKNOWN
from tests.artifacts.inert.hostile import saved

ROLES = ("weight", "bias", "running_mean", "running_var")


def safetensors(tensors: Mapping[str, numpy.ndarray], dtype: str) -> bytes:
    header, data = {}, b""
    for name, values in tensors.items():
        end = len(data) + values.nbytes
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": [len(data), end]}
        data += values.tobytes()
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def test_tensors_side_by_side_are_read_at_once(tmp_path: Path) -> None:
    rows = {f"bn{i}.{role}": numpy.array([i, 5 + i], "f") for i in range(500) for role in ROLES}
    path = tmp_path / "file"
    path.write_bytes(safetensors(rows, "F32"))
    stored = read_header(path, "file")
    read_runs = extents._read
    runs: list[int] = []

    def counted(*arguments: Any) -> Any:
        for run in read_runs(*arguments):
            runs.append(len(run[0]))
            yield run

    with mock.patch.object(extents, "_read", counted):
        found = dict(zip(stored, extents_of(list(stored.values())), strict=True))
    assert runs == [2000]
    assert found == {name: tuple(values) for name, values in rows.items()}


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "I64", "I32", "U8", "BF16"])
def test_extents_are_those_of_each_tensor_by_itself(dtype: str, tmp_path: Path) -> None:
    sizes, places = (3, 1, 7, 2, 5), {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1"}
    chance = numpy.random.default_rng(0)
    rows = {str(i): chance.integers(0, 60, n).astype(places.get(dtype, "<u2")) for i, n in enumerate(sizes)}
    path = tmp_path / "file"
    path.write_bytes(safetensors(rows, dtype))
    stored = [item for name, item in read_header(path, "file").items() if name != "1"]
    alone = [(item.values().min().item(), item.values().max().item()) for item in stored]
    assert extents_of(stored) == alone


def test_of_views_that_overlap_each_has_its_own_extent(tmp_path: Path) -> None:
    whole = torch.arange(10.0)
    path = tmp_path / "file"
    path.write_bytes(saved({"a.weight": whole[2:8], "a.bias": whole[4:6], "b.weight": whole[::3], "b.bias": whole[:6]}))
    stored = list(read(str(path)).saved.tensors.values())  # type: ignore[union-attr]
    assert extents_of(stored) == [(2.0, 7.0), (4.0, 5.0), None, (0.0, 5.0)]


NOT_PLAIN: Mapping[str, tuple[str, numpy.ndarray]] = {
    "complex": ("C64", numpy.array([1 + 1j, numpy.nan, 0], "<c8")),
    "signalling NaN": ("F32", numpy.array([0x7FA00001, 1, 0x7F800000], "<u4").view("<f4")),
    "largest": ("F64", numpy.array([1.7e308, -1.7e308, 0], "<f8")),
    "half": ("F16", numpy.array([numpy.inf, -numpy.inf, 65504], "<f2")),
    "truth": ("BOOL", numpy.array([True, False, True])),
}


@pytest.mark.parametrize("dtype", [None, "float16"])
@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_no_warning_of_numpy_reaches_the_user(kind: str, dtype: str | None, tmp_path: Path) -> None:
    code, values = NOT_PLAIN[kind]
    path = tmp_path / "file"
    path.write_bytes(safetensors(dict.fromkeys([f"bn.{role}" for role in ROLES], values), code))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = bnlint.check(path, deploy_dtype=dtype)
    assert report.coverage.layers == 1


def test_complex_statistics_are_unknown_and_not_clean(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(safetensors({f"bn.{role}": numpy.ones(3, "<c8") for role in ROLES}, "C64"))
    assert "BN502" in {item.code for item in bnlint.check(path).not_run}


def test_a_live_layer_of_complex_numbers() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4)).to(torch.complex64).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error", numpy.exceptions.ComplexWarning)
        table = bnlint.inspect(model)
    assert [facts.nonfinite_tensors for facts in table.norms] == [UNKNOWN]
