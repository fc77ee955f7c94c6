from __future__ import annotations

from collections import OrderedDict
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bnlint.errors import NotAnalysedError, UsageError
from bnlint.running.batches import sample_count
from bnlint.running.data import batches
from bnlint.tracing.inputs import Inputs

MANY = 16


class One(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images


class Two(nn.Module):
    def forward(self, tokens: Tensor, mask: Tensor, labels: Tensor | None = None) -> Tensor:
        return tokens


X, Y = torch.randn(40, 3), torch.arange(40)


def shapes(found: Inputs) -> tuple[list[int], dict[str, int]]:
    return [len(value) for value in found.args], {name: len(value) for name, value in found.kwargs.items()}


@pytest.mark.parametrize(
    ("model", "data", "expected"),
    [
        (One(), X, [([32], {}), ([8], {})]),
        (One(), [X, X], [([40], {}), ([40], {})]),
        (One(), DataLoader(TensorDataset(X, Y), 20), [([20], {}), ([20], {})]),
        (Two(), DataLoader(TensorDataset(X, Y), 20), [([20, 20], {}), ([20, 20], {})]),
        (Two(), [{"tokens": X, "mask": X, "id": Y}], [([], {"tokens": 40, "mask": 40})]),
        (One(), [OrderedDict(image=X, label=Y)], [([40], {})]),
        (Two(), [({"tokens": X, "mask": X}, Y)], [([], {"tokens": 40, "mask": 40})]),
    ],
)
def test_labels_are_told_from_inputs(model: nn.Module, data: Any, expected: Any) -> None:
    assert [shapes(found) for found in batches(model, data, MANY)] == expected


def test_a_list_of_images_is_one_input() -> None:
    (found,) = batches(One(), [([X, X, X], ["a", "b", "c"])], MANY)
    assert len(found.args) == 1
    assert sample_count(found) == 3


def test_an_endless_iterable_is_cut() -> None:
    assert len(list(batches(One(), repeat(X), 3))) == 3


def test_files(tmp_path: Path) -> None:
    torch.save(X, tmp_path / "x.pt")
    torch.save((X, Y), tmp_path / "xy.pt")
    torch.save([X, X], tmp_path / "list.pt")
    numpy.save(tmp_path / "x.npy", X.numpy())
    numpy.savez(tmp_path / "x.npz", images=X.numpy(), labels=Y.numpy())
    save_file({"images": X, "labels": Y}, tmp_path / "x.safetensors")
    for name in ("x.pt", "xy.pt", "x.npy", "x.npz", "x.safetensors"):
        found = list(batches(One(), tmp_path / name, MANY))
        values = [*found[0].args, *found[0].kwargs.values()]
        assert len(found) == 2, name
        assert torch.equal(values[0], X[:32]), name
        assert len(values) == 1, name
    assert len(list(batches(One(), str(tmp_path / "list.pt"), MANY))) == 2


def test_what_is_no_data_is_said(tmp_path: Path) -> None:
    torch.save(3, tmp_path / "three.pt")
    torch.save({"images": X, "mask": X[:3]}, tmp_path / "uneven.pt")
    for data, problem in (("three.pt", "int, not tensors"), ("uneven.pt", "same number")):
        with pytest.raises(NotAnalysedError, match=problem):
            list(batches(One(), tmp_path / data, MANY))
    with pytest.raises(NotAnalysedError, match="KeyError: 'gone'"):
        list(batches(One(), (batch[name] for batch, name in [({}, "gone")]), MANY))
    for wrong in (3, [3], [()], ["x.pt"], tmp_path / "none.pt"):
        with pytest.raises(UsageError):
            list(batches(One(), wrong, MANY))
