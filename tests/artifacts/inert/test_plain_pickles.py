"""`pickle.dump` of models and weights: storages stand in the pickle itself."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from bnlint.artifacts.inert.contents import Contents, contents
from bnlint.artifacts.inert.legacy import open_plain
from bnlint.artifacts.stored import StoredTensor
from tests.models import with_plausible_statistics


def dumped(value: Any, folder: Path, protocol: int = pickle.DEFAULT_PROTOCOL) -> tuple[Path, Contents]:
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    return path, contents(open_plain(path))


def network() -> nn.Module:
    return with_plausible_statistics(nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4).to(torch.bfloat16)))


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_pickled_model_is_read_with_its_values(protocol: int, tmp_path: Path) -> None:
    model = network()
    path, found = dumped(model, tmp_path, protocol)
    (entry,) = found.entries
    assert [module.path for module in entry.modules] == ["", "0", "1"]
    for module in entry.modules[1:]:
        expected = model.get_submodule(module.path).state_dict()
        assert list(module.tensors) == list(expected)
        for name, tensor in module.tensors.items():
            stored = StoredTensor(tensor, path, "model.pkl", found.regions[tensor.storage], found.little_endian)
            assert numpy.array_equal(stored.values(), expected[name].to(torch.float64).numpy())


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_older_protocols_show_types_and_shapes_alone(protocol: int, tmp_path: Path) -> None:
    _, found = dumped(network(), tmp_path, protocol)
    tensor = found.entries[0].modules[2].tensors["running_var"]
    assert (tensor.dtype, tensor.shape) == ("bfloat16", (4,))
    assert not found.regions


def test_a_state_dict_keeps_its_metadata(tmp_path: Path) -> None:
    _, found = dumped(network().state_dict(), tmp_path)
    assert found.entries[0].versions["1"] == 2


class Storage:
    """Pickles as the call that torch makes for a storage."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.storage._load_from_bytes, (self.blob,)


@pytest.mark.parametrize("blob", [b"", b"no pickle", pickle.dumps(1), pickle.dumps(Storage(b"N."))])
def test_a_storage_of_nonsense_makes_no_tensor(blob: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"w": Rebuilt(blob), "ok": torch.ones(2)}))
    (entry,) = contents(open_plain(path)).entries
    assert list(entry.tensors) == ["ok"]


class Rebuilt:
    """Pickles as the call that torch makes for a tensor."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, (Storage(self.blob), 0, (2,), (1,), False, {})
