from __future__ import annotations

import time

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bnlint.running.copies import RunningCopy
from bnlint.running.dry_run import observe_run
from bnlint.running.observations import DryRun
from bnlint.tracing.inputs import Inputs
from tests.models import ConvNet, with_plausible_statistics
from tests.tracing.snapshot import snapshot


def run(model: nn.Module, *args: object, seconds: float = 30.0) -> DryRun:
    return observe_run(RunningCopy(model, time.monotonic() + seconds), Inputs(args), training_step=True)


class ByHand(nn.Module):
    """Normalises by the batch in both modes, and is no BatchNorm that bnlint knows."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.std(0) + 1e-3)


class Loud(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


class Shift(nn.Module):
    """Sees the neighbours of a sample along the axis of time, not of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)


class AList(nn.Module):
    """Takes images as a list, as detectors do: the first axis that they share is that of the channels."""

    def forward(self, images: list[Tensor]) -> Tensor:
        return torch.stack(images).softmax(1).flatten(0, 1)


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.requires_grad_() if self.reentrant else x
        return self.head(checkpoint(self.block, x, use_reentrant=self.reentrant))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.plain = nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) + self.norm(2 * x) + self.plain(x)


class MovesAlways(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, training=True)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_healthy_model_in_any_mode(batch: int) -> None:
    model = with_plausible_statistics(ConvNet())
    found = run(model.train(batch == 4), torch.randn(batch, 3, 16, 16))
    assert found.moved_in_eval == {"bn1": False, "bn2": False}
    assert found.updates == {"bn1": 1, "bn2": 1}
    assert found.batch_dependence is not None
    assert not found.batch_dependence.depends
    assert found.notes == ()


@pytest.mark.parametrize("batch", [1, 4])
def test_samples_that_meet_are_found_where_they_meet(batch: int) -> None:
    torch.manual_seed(0)  # with some weights no value passes the activation
    inner = nn.Sequential(nn.Linear(4, 4), ByHand(), nn.ReLU())
    found = run(nn.Sequential(nn.Linear(4, 4), inner, nn.Linear(4, 2)), torch.randn(batch, 4))
    assert found.batch_dependence is not None
    assert found.batch_dependence.depends
    assert (found.batch_dependence.module, found.batch_dependence.module_class) == ("1.1", "ByHand")


def test_other_axes_are_free() -> None:
    found = run(nn.Sequential(Shift(), nn.Softmax(-1)), torch.randn(3, 8, 4))
    assert found.batch_dependence is not None
    assert not found.batch_dependence.depends


@pytest.mark.parametrize(
    ("model", "args", "reason"),
    [
        (Loud(), (torch.randn(3, 4),), "another output each time"),
        (nn.Bilinear(4, 4, 2), (torch.zeros(3, 4), torch.zeros(3, 4)), "same value everywhere"),
        (nn.LSTM(4, 4), (torch.randn(7, 3, 4),), "may be time"),
        (nn.LSTM(4, 4, batch_first=True), (torch.randn(7, 4),), "single sample"),
        (nn.Conv2d(3, 3, 1), (torch.randn(3, 8, 8),), "single sample"),
        (nn.Embedding(4, 4), (torch.tensor([0, 1, 2]),), "may be a sequence"),
        (AList(), ([torch.randn(3, 8, 8), torch.randn(3, 8, 8)],), "in a list"),
        (nn.Embedding(4, 4), (torch.tensor([[float("nan")]]),), "RuntimeError"),
    ],
)
def test_what_a_run_cannot_tell_is_not_told(model: nn.Module, args: tuple[Tensor, ...], reason: str) -> None:
    found = run(model, *args)
    assert found.batch_dependence is None
    assert any(reason in note for note in found.notes)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_updates_twice(reentrant: bool) -> None:
    assert run(Checkpointed(reentrant), torch.randn(4, 4)).updates == {"block.1": 2, "head": 1}


def test_a_layer_called_twice_updates_twice_and_without_a_counter_there_is_no_number() -> None:
    assert run(Twice(), torch.randn(4, 4)).updates == {"norm": 2}


def test_statistics_that_move_in_eval_mode_do_not_hide_what_else_there_is() -> None:
    found = run(nn.Sequential(MovesAlways(4), nn.BatchNorm1d(4)), torch.randn(6, 4))
    assert found.moved_in_eval == {"0": True, "1": False}
    assert found.batch_dependence is not None
    assert found.batch_dependence.module == "0"


def test_a_forward_that_never_ends_is_left() -> None:
    class Endless(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            while True:
                time.sleep(0.01)

    began = time.monotonic()
    found = run(Endless(), torch.randn(2, 4), seconds=0.3)
    assert time.monotonic() - began < 10
    assert found.moved_in_eval is None
    assert "did not end" in found.notes[0]


def test_the_model_is_untouched_with_its_gradients_and_the_random_state() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout())
    model(torch.randn(4, 4)).sum().backward()
    inputs = torch.randn(4, 4)
    before = snapshot(model)
    run(model, inputs)
    assert snapshot(model) == before


def test_a_model_without_modes_says_so() -> None:
    program = torch.export.export(
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).eval(), (torch.randn(2, 3, 4, 4),)
    )
    found = run(program.module(), torch.randn(2, 3, 4, 4))
    assert found.moved_in_eval is None
    assert all(
        "Calling eval() is not supported" in found.reasons[name] for name in ("moved_in_eval", "batch_dependence")
    )
