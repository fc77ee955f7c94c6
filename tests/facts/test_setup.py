"""The declared training set-up, given as numbers or as a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)

import bnlint
from bnlint.errors import UsageError
from bnlint.facts.loader import setup_of_loader
from bnlint.facts.records import NormFacts
from bnlint.facts.setup import TrainingSetup
from bnlint.facts.unknown import UNKNOWN

DATA = TensorDataset(torch.zeros(101, 4))


class Endless(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        while True:
            yield torch.zeros(4)


class WithoutLength(Dataset[Tensor]):
    def __getitem__(self, index: int) -> Tensor:
        return torch.zeros(4)


class OwnSampler(BatchSampler):
    pass


def setup(**declared: Any) -> TrainingSetup:
    return TrainingSetup(**declared)


@pytest.mark.parametrize(
    ("declared", "last"),
    [
        ({"batch_size": 8, "dataset_size": 101}, 5),
        ({"batch_size": 8, "dataset_size": 104}, None),
        ({"batch_size": 8, "dataset_size": 101, "drop_last": True}, None),
        ({"batch_size": 8, "dataset_size": 101, "drop_last": False}, 5),
        ({"batch_size": 8, "dataset_size": 101, "devices": 4}, 2),  # 26 samples on each
        ({"batch_size": 8, "dataset_size": 5}, 5),
        ({"drop_last": True}, None),
        ({"batch_size": 8}, UNKNOWN),
        ({"dataset_size": 101}, UNKNOWN),
        ({}, UNKNOWN),
    ],
)
def test_the_short_last_batch(declared: dict[str, Any], last: object) -> None:
    assert setup(**declared).last_batch_size == last


def test_the_last_batch_is_that_of_a_loader_that_is_run() -> None:
    for size, batch in ((101, 8), (104, 8), (5, 8), (9, 3)):
        loader = DataLoader(TensorDataset(torch.zeros(size, 1)), batch_size=batch)
        *_, (last,) = loader
        short = len(last) if len(last) < batch else None
        assert setup_of_loader(loader).last_batch_size == short


@pytest.mark.parametrize("name", ["batch_size", "devices", "accumulate", "dataset_size"])
def test_a_number_below_one_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is 0, but"):
        bnlint.check(nn.BatchNorm1d(4), **{name: 0})


LOADERS = {
    "plain": (DataLoader(DATA, batch_size=8), setup(batch_size=8, dataset_size=101, drop_last=False)),
    "dropping": (
        DataLoader(DATA, batch_size=8, shuffle=True, drop_last=True),
        setup(batch_size=8, dataset_size=101, drop_last=True),
    ),
    "few samples drawn": (
        DataLoader(DATA, batch_size=8, sampler=RandomSampler(DATA, num_samples=50)),
        setup(batch_size=8, dataset_size=50, drop_last=False),
    ),
    "distributed": (
        DataLoader(DATA, batch_size=8, sampler=DistributedSampler(DATA, num_replicas=4, rank=0)),
        setup(batch_size=8, devices=4, dataset_size=104, drop_last=False),
    ),
    "batch sampler of torch": (
        DataLoader(DATA, batch_sampler=BatchSampler(SequentialSampler(DATA), 8, True)),
        setup(batch_size=8, dataset_size=101, drop_last=True),
    ),
    "batch sampler of the user": (
        DataLoader(DATA, batch_sampler=OwnSampler(SequentialSampler(DATA), 8, True)),
        setup(),
    ),
    "the dataset makes the batches": (DataLoader(DATA, batch_size=None), setup()),
    "endless": (DataLoader(Endless(), batch_size=8), setup(batch_size=8)),
    "endless, dropping": (DataLoader(Endless(), batch_size=8, drop_last=True), setup(batch_size=8, drop_last=True)),
    "without a length": (DataLoader(WithoutLength(), batch_size=8), setup(batch_size=8, drop_last=False)),
}


@pytest.mark.parametrize("name", LOADERS)
def test_what_a_loader_declares(name: str) -> None:
    loader, expected = LOADERS[name]
    assert setup_of_loader(loader) == expected


def test_only_a_data_loader_is_a_loader() -> None:
    with pytest.raises(UsageError, match="The loader is a list"):
        bnlint.check(nn.BatchNorm1d(4), loader=[1, 2])


def test_the_loader_completes_the_arguments() -> None:
    loader = DataLoader(DATA, batch_size=8)
    assert setup(devices=2).joined_with(setup_of_loader(loader)) == setup(
        batch_size=8, devices=2, dataset_size=101, drop_last=False
    )
    with pytest.raises(UsageError, match="batch size is given as 16, but the loader has 8"):
        bnlint.check(nn.BatchNorm1d(4), loader=loader, batch_size=16)


def record(**declared: Any) -> NormFacts:
    (found,) = bnlint.inspect(nn.Sequential(nn.BatchNorm1d(4)).eval(), inputs=("2x4x6",), **declared).norms
    return found


def test_the_facts_of_a_set_up() -> None:
    facts = record(batch_size=8, devices=4, accumulate=2, dataset_size=101)
    assert (facts.batch_size, facts.devices, facts.accumulate) == (8, 4, 2)
    assert (facts.last_batch_size, facts.last_batch_share, facts.values_in_last_batch) == (2, 0.25, 12)


def test_the_facts_without_one() -> None:
    facts = record()
    assert (facts.devices, facts.accumulate) == (1, 1)
    assert {facts.batch_size, facts.last_batch_size, facts.last_batch_share, facts.values_in_last_batch} == {UNKNOWN}


def test_the_facts_where_every_batch_is_full() -> None:
    facts = record(batch_size=8, dataset_size=64)
    assert (facts.last_batch_size, facts.last_batch_share, facts.values_in_last_batch) == (None, None, None)


def test_a_loader_brings_in_the_rule_on_the_last_batch_and_is_not_iterated() -> None:
    class Untouchable(Dataset[Tensor]):
        def __len__(self) -> int:
            return 65

        def __getitem__(self, index: int) -> Tensor:
            raise AssertionError("a sample was read")

    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    report = bnlint.check(model, inputs=("2x4",), context="training", loader=DataLoader(Untouchable(), batch_size=16))
    assert [finding.code for finding in report.findings if finding.code.startswith("BN3")] == ["BN303"]
    assert (report.batch_size, report.dataset_size, report.drop_last) == (16, 65, False)


def test_without_a_length_the_rule_says_what_it_needs() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    loader = DataLoader(Endless(), batch_size=16)
    report = bnlint.check(model, inputs=("2x4",), context="training", loader=loader, select="BN303")
    assert [(item.code, item.remedy[:24]) for item in report.not_run] == [("BN303", "give `--dataset-size N`,")]
