"""An operation on the memory of the original is refused before it happens, and the run is reported as not made."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.tracing.copying.watch import LeadsBackError, Memory, Watch
from tests.tracing.snapshot import snapshot, tensor_state
from tests.tracing.ways import Refuses, network

IMAGES = torch.linspace(-1, 1, 96).reshape(2, 3, 4, 4)


class Meddles(nn.Module):
    """Does something to the weight of a network that it comes to by an object that cannot be copied."""

    def __init__(self, meddle: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.parts = Refuses(network())
        self.__dict__["meddle"] = meddle

    def forward(self, x: Tensor) -> Tensor:
        self.meddle(self.parts.net[0].weight, x)
        return self.norm(x)


REFUSED: dict[str, Callable[[Tensor, Tensor], object]] = {
    "read": lambda weight, x: F.conv2d(x, weight),
    "item": lambda weight, x: weight.data[0, 0, 0, 0].item(),
    "in place": lambda weight, x: weight.data.add_(1),
    "view in place": lambda weight, x: weight.detach().view(-1)[1:3].zero_(),
    "out": lambda weight, x: torch.add(x.mean(), 1, out=weight.data.view(-1)[0]),
    "foreach": lambda weight, x: torch._foreach_add_([x.clone(), weight.data], 1),
    "set": lambda weight, x: weight.data.set_(x.clone()),
    "set from a storage": lambda weight, x: x.new_empty(0).set_(weight.untyped_storage()),
    "resize": lambda weight, x: weight.data.resize_(0),
    "copy": lambda weight, x: weight.data.copy_(x.mean().expand_as(weight)),
    "index": lambda weight, x: weight.data.__setitem__(0, 0.0),
    "from numpy": lambda weight, x: torch.from_numpy(weight.detach().numpy()[1:]).zero_(),
    "map": lambda weight, x: torch.vmap(lambda row: row * 2)(weight.data),
    "inference mode": lambda weight, x: torch.inference_mode()(lambda: weight.data.mul_(2))(),
    "autocast": lambda weight, x: torch.autocast("cpu", dtype=torch.bfloat16)(lambda: F.conv2d(x, weight))(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_touches_the_original_is_refused_and_said(name: str) -> None:
    model = Meddles(REFUSED[name])
    before = snapshot(model), snapshot(model.parts.net)
    report = bnlint.check(model, inputs=(IMAGES,), run=True)
    assert (snapshot(model), snapshot(model.parts.net)) == before
    sentence = " ".join([*report.unanalysed, *report.coverage.notes])
    assert "could not be observed: `parts` leads back to the model" in sentence
    assert "`parts.0.weight` of the model itself at tests/tracing/test_refused.py:" in sentence


def test_code_that_catches_the_refusal_does_not_hide_it() -> None:
    def meddle(weight: Tensor, x: Tensor) -> None:
        try:
            weight.data.zero_()
        except Exception:
            return

    model = Meddles(meddle)
    report = bnlint.check(model, inputs=(IMAGES,), run=True)
    assert any("`parts` leads back to the model" in text for text in report.unanalysed)
    assert bool(model.parts.net[0].weight.any())


PUT_BACK: dict[str, Callable[[Tensor, Tensor], object]] = {
    "data": lambda weight, x: setattr(weight, "data", torch.zeros(4, 3, 1, 1)),
    "gradient": lambda weight, x: setattr(weight, "grad", torch.zeros(4, 3, 1, 1)),
    "no gradient": lambda weight, x: setattr(weight, "grad", None),
    "flag": lambda weight, x: weight.requires_grad_(False),
    "attribute": lambda weight, x: setattr(weight, "seen", x),
}


@pytest.mark.parametrize("name", PUT_BACK)
def test_what_is_no_operation_is_put_back(name: str) -> None:
    model = Meddles(PUT_BACK[name])
    model.parts.net[0].weight.grad = torch.ones(4, 3, 1, 1)
    before = snapshot(model), snapshot(model.parts.net), dict(vars(model.parts.net[0].weight))
    bnlint.check(model, inputs=(IMAGES,), run=True)
    assert (snapshot(model), snapshot(model.parts.net), dict(vars(model.parts.net[0].weight))) == before


COUNT = torch.zeros(1)
MEAN = torch.full((3, 1, 1), 0.5)


class ReadsConstant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x - MEAN)


class Counts(ReadsConstant):
    def forward(self, x: Tensor) -> Tensor:
        COUNT.add_(1)
        return super().forward(x)


def test_a_global_tensor_is_read_and_not_written() -> None:
    before = tensor_state(COUNT), tensor_state(MEAN)
    assert bnlint.check(ReadsConstant(), inputs=(IMAGES,), run=True).unanalysed == ()
    report = bnlint.check(Counts(), inputs=(IMAGES,), run=True)
    assert any("would write to the global `COUNT` at tests/" in text for text in report.unanalysed)
    assert (tensor_state(COUNT), tensor_state(MEAN)) == before


class Clamps(nn.Module):
    """Writes to its own weight in each forward, as binary networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        self.conv.weight.data.clamp_(-0.1, 0.1)
        return self.norm(self.conv(x))


def test_the_proof_of_a_fold_does_not_write_to_the_weights_that_it_shares() -> None:
    model = Clamps().eval()
    before = snapshot(model)
    with pytest.raises(bnlint.NotAnalysedError, match=r"`conv\.weight` of the model itself"):
        bnlint.fold(model, (IMAGES,), force=True)
    assert snapshot(model) == before


def watch(untouchable: Tensor) -> Watch:
    return Watch(Memory([(untouchable, "it")]), Memory([]), str)


def test_storages_without_memory_are_told_apart() -> None:
    emptied, other = torch.ones(4), torch.ones(4)
    for tensor in (emptied, other):
        tensor.untyped_storage().resize_(0)
    with watch(emptied):
        other.detach()
        torch.empty(2, device="meta") + torch.empty(2, device="meta")
        with pytest.raises(LeadsBackError):
            emptied.detach()


def test_parts_of_sparse_tensors_are_watched() -> None:
    sparse = torch.eye(3).to_sparse()
    values = sparse._values()
    with watch(sparse), pytest.raises(LeadsBackError):
        values.add_(1)
    with watch(values), pytest.raises(LeadsBackError):
        torch.sparse.mm(sparse, torch.ones(3, 1))


def test_memory_that_numpy_lends_is_told_by_its_address() -> None:
    array = numpy.ones((4, 2), dtype=numpy.float32)
    with watch(torch.from_numpy(array)):
        torch.ones(8) + 1
        with pytest.raises(LeadsBackError):
            torch.from_numpy(array[2:]).zero_()
    assert array.all()


def test_batch_norm_writes_to_statistics_that_may_be_read() -> None:
    mean, variance = torch.zeros(3), torch.ones(3)
    with Watch(Memory([]), Memory([(mean, "mean")]), str):
        F.batch_norm(IMAGES, mean, variance)
        with pytest.raises(LeadsBackError, match="write to mean"):
            F.batch_norm(IMAGES, mean, variance, training=True)
    assert not mean.any()
