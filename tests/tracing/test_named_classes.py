"""Classes that are a BatchNorm by their name alone, or inherit from one and compute in code of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.facts.unknown import UNKNOWN
from tests.tracing.proof import images

CHANNELS = 3


def _wide(tensor: Tensor) -> Tensor:
    return tensor.view(1, -1, 1, 1)


class Base(nn.Module):
    """The tensors of a BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.eps, self.momentum = 1e-5, 0.1
        self.weight, self.bias = nn.Parameter(torch.rand(CHANNELS) + 0.5), nn.Parameter(torch.rand(CHANNELS))
        self.register_buffer("running_mean", torch.rand(CHANNELS))
        self.register_buffer("running_var", torch.rand(CHANNELS) + 0.5)

    def affine(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return (x - mean) / torch.sqrt(variance + self.eps) * _wide(self.weight) + _wide(self.bias)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.running_mean, self.running_var, self.weight, self.bias


class PerStepBatchNorm(nn.Module):
    """As of MAML: statistics for each inner step, and a flag that is hard-wired."""

    def __init__(self) -> None:
        super().__init__()
        self.running_mean = nn.Parameter(torch.zeros(5, CHANNELS), requires_grad=False)
        self.running_var = nn.Parameter(torch.ones(5, CHANNELS), requires_grad=False)
        self.weight, self.bias = nn.Parameter(torch.ones(5, CHANNELS)), nn.Parameter(torch.zeros(5, CHANNELS))

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        given = (self.running_mean[step], self.running_var[step], self.weight[step], self.bias[step])
        return F.batch_norm(x, *given, training=True, momentum=0.1)


class ObedientBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, *self.tensors(), self.training, self.momentum, self.eps)


class DeafBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, *self.tensors(), True, self.momentum, self.eps)


class WordyBatchNorm2d(Base):
    def forward(self, value: Tensor) -> Tensor:
        return F.batch_norm(running_mean=self.running_mean, running_var=self.running_var, training=True, input=value)


class NativeBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        given = (self.weight, self.bias, self.running_mean, self.running_var, True, self.momentum, self.eps)
        return torch.native_batch_norm(x, *given)[0]


class AtenBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        given = (self.weight, self.bias, self.running_mean, self.running_var, True, self.momentum, self.eps)
        return torch.ops.aten._native_batch_norm_legit(x, *given)[0]


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *tensors: Tensor) -> Tensor:
        return F.batch_norm(x, *tensors, True)


class FunctionBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        return _Function.apply(x, *self.tensors())


class InAutocastBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return F.batch_norm(x.float(), *self.tensors(), True, self.momentum, self.eps)


class ActivatedBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(F.batch_norm(x, *self.tensors(), self.training, self.momentum, self.eps))


class DetectionFrozenBatchNorm2d(Base):
    """As of detectron2: arithmetic where gradients flow, else the function."""

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            scale = self.weight * (self.running_var + self.eps).rsqrt()
            return x * _wide(scale) + _wide(self.bias - self.running_mean * scale)
        return F.batch_norm(x, *self.tensors(), training=False, eps=self.eps)


class HandBatchNorm2d(Base):
    """As in a textbook."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.affine(x, _wide(self.running_mean), _wide(self.running_var))
        mean = x.mean((0, 2, 3))
        variance = ((x - _wide(mean)) ** 2).mean((0, 2, 3))
        with torch.no_grad():
            self.running_mean.mul_(0.9).add_(0.1 * mean)
        return self.affine(x, _wide(mean), _wide(variance))


class BatchAlwaysBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((0, 2, 3), keepdim=True)
        return self.affine(x, mean, ((x - mean) ** 2).mean((0, 2, 3), keepdim=True))


class TransposingBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        rows = x.transpose(0, 1).reshape(CHANNELS, -1)
        return self.affine(x, _wide(rows.mean(1)), _wide(rows.var(1)))


class SteppingBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        return (x - _wide(x.mean(3).mean(2).mean(0))) * _wide(self.weight)


class VarMeanBatchNorm2d(Base):
    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(0, 2, 3))
        return self.affine(x, _wide(mean), _wide(variance))


class SampleBatchNorm2d(Base):
    """Statistics of each sample, whatever it is called."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean((2, 3), keepdim=True)) * _wide(self.weight)


class HiddenBatchNorm2d(Base):
    """A layer that is no child."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = [nn.Conv2d(CHANNELS, CHANNELS, 1)]

    def forward(self, x: Tensor) -> Tensor:
        return self.affine(self.inner[0](x), _wide(self.running_mean), _wide(self.running_var))


class ConstantBatchNorm2d(Base):
    """Frozen, and not called so."""

    def forward(self, x: Tensor) -> Tensor:
        return self.affine(x, _wide(self.running_mean), _wide(self.running_var))


class UpdatingBatchNorm2d(Base):
    """Moves its statistics in eval mode, and normalises by them: that is another fault."""

    def forward(self, x: Tensor) -> Tensor:
        self.running_mean.lerp_(x.mean((0, 2, 3)), 0.0)
        return self.affine(x, _wide(self.running_mean), _wide(self.running_var))


class BatchOfSubclass(nn.BatchNorm2d):
    def __init__(self) -> None:
        super().__init__(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean((0, 2, 3), keepdim=True)) * _wide(self.weight)


IN_EVAL: dict[type[nn.Module], tuple[object, object, bool]] = {
    PerStepBatchNorm: (True, True, False),
    ObedientBatchNorm2d: (False, False, True),
    DeafBatchNorm2d: (True, True, False),
    WordyBatchNorm2d: (True, True, False),
    NativeBatchNorm2d: (True, True, False),
    AtenBatchNorm2d: (True, True, False),
    FunctionBatchNorm2d: (True, True, False),
    InAutocastBatchNorm2d: (True, True, False),
    ActivatedBatchNorm2d: (False, False, False),
    DetectionFrozenBatchNorm2d: (False, False, True),
    HandBatchNorm2d: (False, False, True),
    BatchAlwaysBatchNorm2d: (True, True, False),
    TransposingBatchNorm2d: (True, True, False),
    SteppingBatchNorm2d: (True, True, False),
    VarMeanBatchNorm2d: (True, True, False),
    SampleBatchNorm2d: (UNKNOWN, UNKNOWN, False),
    HiddenBatchNorm2d: (UNKNOWN, UNKNOWN, False),
    ConstantBatchNorm2d: (False, False, True),
    UpdatingBatchNorm2d: (False, False, True),
    BatchOfSubclass: (True, True, False),
}
"""What each does in eval mode: whether it uses the batch, whether it ignores `eval()`, whether it can be folded."""


def _network(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, CHANNELS, 1), layer, nn.ReLU())


def _facts(model: nn.Module) -> Any:
    (facts,) = bnlint.inspect(model, inputs=images()).norms
    return facts


@pytest.mark.parametrize("cls", IN_EVAL, ids=lambda cls: cls.__name__)
def test_what_is_called_inside_decides(cls: type[nn.Module]) -> None:
    facts = _facts(_network(cls()).eval())
    assert (facts.layer, facts.kind, facts.functional, facts.calls) == ("1", "batch_norm", False, 1)
    assert (facts.uses_batch_statistics, facts.ignores_eval, facts.foldable) == IN_EVAL[cls]


@pytest.mark.parametrize("cls", IN_EVAL, ids=lambda cls: cls.__name__)
def test_the_verdict_is_what_the_class_computes(cls: type[nn.Module]) -> None:
    """One sample gives the same with and without the others, unless the batch is used; where it is told at all."""
    told = IN_EVAL[cls][0]
    if told is UNKNOWN:
        return
    model = _network(cls()).eval()
    batch = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        alone, among = model(batch[:1]), model(batch)[:1]
    assert torch.allclose(alone, among, atol=1e-4) is (told is False)


@pytest.mark.parametrize("cls", [cls for cls in IN_EVAL if IN_EVAL[cls][0] is True], ids=lambda cls: cls.__name__)
def test_one_that_uses_the_batch_in_eval_mode_is_found(cls: type[nn.Module]) -> None:
    found = {finding.code: finding for finding in bnlint.check(_network(cls()).eval(), inputs=images()).findings}
    assert found["BN103"].layers == ("1",)
    assert "BN601" not in found


@pytest.mark.parametrize("cls", [HandBatchNorm2d, ObedientBatchNorm2d, BatchAlwaysBatchNorm2d, DeafBatchNorm2d])
def test_in_training_mode_it_trains(cls: type[nn.Module]) -> None:
    facts = _facts(_network(cls()).train())
    assert (facts.uses_batch_statistics, facts.ignores_eval, facts.foldable) == (True, False, False)


def test_a_class_that_reads_its_statistics_in_training_mode_does_not_train() -> None:
    assert _facts(_network(ConstantBatchNorm2d()).train()).uses_batch_statistics is False


def test_one_sample_is_enough_to_tell() -> None:
    model = _network(BatchAlwaysBatchNorm2d()).eval()
    (facts,) = bnlint.inspect(model, inputs=torch.randn(1, 3, 6, 6)).norms
    assert facts.uses_batch_statistics is True


def test_without_a_recorded_run_a_name_proves_nothing() -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, CHANNELS, 1), DeafBatchNorm2d()

        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no")

    facts = _facts(Failing().eval())
    assert (facts.uses_batch_statistics, facts.ignores_eval, facts.foldable) == (UNKNOWN, UNKNOWN, UNKNOWN)


def test_a_class_that_folds_is_folded_and_proved() -> None:
    model = _network(ObedientBatchNorm2d()).eval()
    result = bnlint.fold(model, inputs=images())
    assert [fold.layer for fold in result.folds] == ["1"]
    assert result.verified


def test_a_class_whose_arithmetic_is_known_stays_one_call() -> None:
    trace = bnlint.trace(_network(HandBatchNorm2d()).eval(), images())
    assert [node.op for node in trace.graph.nodes] == [
        "placeholder",
        "call_module",
        "call_module",
        "call_module",
        "output",
    ]
    assert trace.complete


def test_the_flag_of_the_copy_is_read_where_the_model_switches_it() -> None:
    class Switching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = ObedientBatchNorm2d()

        def forward(self, x: Tensor) -> Tensor:
            self.norm.train()
            return self.norm(x)

    assert _facts(Switching().eval()).ignores_eval is True
