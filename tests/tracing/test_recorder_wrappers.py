"""Hooks, parametrisations, checkpoints, compiled and distributed wrappers, leaves that torch compiles: all are run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import bnlint
from bnlint.tracing.trace import How
from tests.tracing.proof import Call, block, calls_of, images, prove

ONE = (images(),)


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.block, self.reentrant = block(), reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = checkpoint(self.block, x, use_reentrant=self.reentrant)
        return checkpoint_sequential(self.block, 2, x, use_reentrant=self.reentrant)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_are_seen_through(reentrant: bool) -> None:
    prove(Checkpointed(reentrant), ONE, [Call("block.1"), Call("block.1")])


def hooked() -> nn.Sequential:
    """Hooks that change what goes in and what comes out, on layers and on the whole."""
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), block())
    model[0].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    model[1].register_forward_hook(lambda module, args, output: output * 2)
    model[2].register_forward_hook(lambda module, args, kwargs, output: output - 3, with_kwargs=True)
    model.register_forward_hook(lambda module, args, output: {"out": output})
    return model


def test_hooks_that_change_values_are_part_of_the_graph() -> None:
    prove(hooked(), ONE, [Call("1"), Call("2.1")])


def test_a_hook_that_calls_a_layer() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 3, 1)), nn.Sequential(nn.BatchNorm2d(3)))
    model[0].register_forward_hook(lambda module, args, output: model[1][0](output))
    prove(model, ONE, [Call("1.0"), Call("1.0")])


class Parametrised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.new = parametrizations.weight_norm(nn.Conv2d(3, 3, 1))
        self.spectral = parametrizations.spectral_norm(nn.Linear(8, 8))
        self.orthogonal = parametrizations.orthogonal(nn.Linear(8, 8))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.old = nn.utils.weight_norm(nn.Conv2d(3, 3, 1))
            self.old_spectral = nn.utils.spectral_norm(nn.Conv2d(3, 3, 1))
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.orthogonal(self.spectral(self.old_spectral(self.old(self.new(x)))))
        return self.bn(F.conv2d(x, self.new.weight))


def test_parametrisations_old_and_new() -> None:
    prove(Parametrised(), ONE, [Call("bn")])


def test_a_parametrised_batch_norm_is_still_one_call() -> None:
    model = block()
    nn.utils.parametrize.register_parametrization(model[1], "weight", nn.Softplus())
    prove(model, ONE, [Call("1")])


def test_a_pruned_layer() -> None:
    from torch.nn.utils import prune

    model = block()
    prune.l1_unstructured(model[0], "weight", 0.5)
    prune.l1_unstructured(model[1], "weight", 1)
    prove(model, ONE, [Call("1")])


def test_a_module_that_compiles_itself() -> None:
    model = block()
    model.compile(backend="eager")
    prove(model, ONE, [Call("1")])


def test_a_compiled_wrapper_and_a_compiled_part() -> None:
    half_compiled = nn.Sequential(torch.compile(block(), backend="eager"), block())
    prove(torch.compile(block(), backend="eager"), ONE, [Call("1")])
    prove(half_compiled, ONE, [Call("0.1"), Call("1.1")])


def test_data_parallel() -> None:
    prove(nn.DataParallel(block()), ONE, [Call("1")])


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_distributed_data_parallel() -> None:
    prove(nn.parallel.DistributedDataParallel(block()), ONE, [Call("1")])


@pytest.mark.usefixtures("process_group")
def test_sync_batch_norm_in_training_mode_does_not_communicate() -> None:
    model = nn.SyncBatchNorm.convert_sync_batchnorm(block()).train()
    trace = bnlint.trace(model, ONE)
    assert trace.how is How.RECORDED
    assert calls_of(trace) == [Call("1")]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_part_is_a_leaf() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()))
    trace = prove(nn.Sequential(scripted, block()), ONE, [Call("1.1")], how=How.RECORDED_WITH_VALUES)
    assert "0" in {node.target for node in trace.graph.nodes if node.op == "call_module"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_part_that_hides_a_norm_makes_the_graph_incomplete() -> None:
    scripted = torch.jit.script(block().eval())
    prove(nn.Sequential(scripted, block()), ONE, [Call("1.1")], how=How.RECORDED_WITH_VALUES, complete=False)


@pytest.fixture
def quantised_engine() -> Iterator[None]:
    engines = [name for name in torch.backends.quantized.supported_engines if name != "none"]
    if not engines:
        pytest.skip("this torch has no engine for quantised layers")
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm" if "fbgemm" in engines else engines[0]
    yield
    torch.backends.quantized.engine = before


@pytest.mark.usefixtures("quantised_engine")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_dynamically_quantised_layers_are_leaves() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm2d(3), nn.ReLU(), nn.Linear(8, 4)).eval()
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    trace = prove(quantised, ONE, [Call("1")], how=How.RECORDED_WITH_VALUES)
    assert [node.target for node in trace.graph.nodes if node.op == "call_module"] == ["0", "1", "2", "3"]


@pytest.mark.usefixtures("quantised_engine")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_statically_quantised_layers_are_leaves() -> None:
    quantisation = torch.ao.quantization
    model = nn.Sequential(quantisation.QuantStub(), nn.Conv2d(3, 3, 1), quantisation.DeQuantStub(), nn.BatchNorm2d(3))
    model.eval().qconfig = quantisation.get_default_qconfig(torch.backends.quantized.engine)
    model[3].qconfig = None
    prepared = quantisation.prepare(model)
    prepared(images())
    prove(quantisation.convert(prepared), ONE, [Call("3")], how=How.RECORDED_WITH_VALUES)


def test_lazy_layers_get_their_shapes_in_the_copy_only() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d()).eval()
    trace = bnlint.trace(model, ONE)
    trace.graph.lint()
    assert trace.how is How.RECORDED
    assert calls_of(trace) == [Call("1")]
    assert trace.norm_calls[0].input_shape == (2, 4, 6, 6)
    assert isinstance(model[0], nn.LazyConv2d)
    assert isinstance(model[1].running_mean, nn.UninitializedBuffer)
