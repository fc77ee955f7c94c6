"""Graphs that are live: operators in place of layers, of which the tensors alone are left."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

import bnlint
from bnlint.facts.records import FactTable
from bnlint.facts.unknown import UNKNOWN
from bnlint.tracing.inlined import has_generated_code
from tests.models import with_plausible_statistics
from tests.tracing.proof import images

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

SAME = (
    "kind", "functional", "registered", "calls", "uses_batch_statistics", "ignores_eval", "training", "model_training",
    "mixes_samples", "eps", "momentum", "affine", "channels", "dtype", "has_running_statistics", "batches_counted",
    "statistics_at_initial_values", "input_shape", "channel_axis", "fed_by", "feeds", "learns_statistics",
)  # fmt: skip
"""Facts that a program and its module tell alike."""


class Net(nn.Module):
    """A layer of each kind that has tensors. Input (N, 3, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, eps=1e-3)
        self.ln, self.gn = nn.LayerNorm(6), nn.GroupNorm(2, 4)
        self.inorm = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, momentum=0.3), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.inorm(self.gn(self.ln(self.bn(self.conv(x)).relu()))))


def program(*, training: bool, decomposed: bool = False) -> ExportedProgram:
    model = with_plausible_statistics(Net()).train(training)
    made = torch.export.export(model, (images(),))
    return made.run_decompositions() if decomposed else made


def by_layer(table: FactTable) -> Mapping[str, Any]:
    return {facts.layer: facts for facts in table.norms}


@pytest.mark.parametrize("decomposed", [False, True], ids=["as exported", "decomposed"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_module_of_a_program_tells_what_the_program_tells(training: bool, decomposed: bool) -> None:
    made = program(training=training, decomposed=decomposed)
    of_program, of_module = bnlint.inspect(made), bnlint.inspect(made.module(), inputs=images())
    expected, found = by_layer(of_program), by_layer(of_module)
    assert set(found) == {"bn", "ln", "gn", "inorm", "block.1"}
    # Decomposed in training mode, the statistics that a BatchNorm gives back are outputs of the program.
    same = [name for name in SAME if name != "feeds" or not (decomposed and training)]
    for layer, facts in found.items():
        assert {name: getattr(facts, name) for name in same} == {
            name: getattr(expected[layer], name) for name in same
        }, layer
    assert of_module.model.norm_layers == of_program.model.norm_layers == 5
    assert of_module.model.batch_norm_layers == 2
    assert of_module.model.norm_calls == 5


def codes(target: Any, **arguments: Any) -> dict[str, tuple[str, ...]]:
    return {finding.code: finding.layers for finding in bnlint.check(target, **arguments).findings}


@pytest.mark.parametrize("given", [True, False], ids=["with inputs", "without"])
def test_training_mode_in_the_graph_is_found(given: bool) -> None:
    made = program(training=True)
    inputs = {"inputs": images()} if given else {}
    assert codes(made.module(), **inputs) == codes(made)
    assert codes(made)["BN103"] == ("bn", "block.1")
    assert "BN103" not in codes(program(training=False).module(), **inputs)


def test_inputs_of_any_batch_are_those_of_the_example() -> None:
    batch = torch.export.Dim("batch", min=2)
    made = torch.export.export(Net().eval(), (images(),), dynamic_shapes=({0: batch},))
    trace = bnlint.trace(made.module())
    assert (trace.inputs, trace.inputs_assumed) == (bnlint.trace(made).inputs, True)


def test_within_a_larger_model() -> None:
    model = nn.Sequential(program(training=True).module(), nn.BatchNorm2d(4))
    model[1].eval()
    found = by_layer(bnlint.inspect(model, inputs=images()))
    assert [found[layer].ignores_eval for layer in ("0.bn", "0.block.1", "1")] == [True, True, False]


def test_outside_the_module_tree() -> None:
    class Hiding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [program(training=True).module()]

        def forward(self, x: Tensor) -> Tensor:
            return self.parts[0](x)

    found = by_layer(bnlint.inspect(Hiding().eval(), inputs=images()))
    assert [(layer, found[layer].registered, found[layer].ignores_eval) for layer in found if layer.endswith("bn")] == [
        ("parts[0].bn", False, True)
    ]


def flat(made: ExportedProgram, prefix: str = "") -> fx.GraphModule:
    """The same graph with all tensors in its root, as older versions of torch wrote it."""
    module = made.module()
    graph, root = copy.deepcopy(module.graph), nn.Module()
    for node in list(graph.nodes):
        if node.op == "call_module":  # guards
            graph.erase_node(node)
        if node.op == "get_attr":
            owner, _, name = node.target.rpartition(".")
            tensor = getattr(module.get_submodule(owner), name)
            node.target = prefix + node.target.replace(".", "_")
            keep = root.register_parameter if isinstance(tensor, nn.Parameter) else root.register_buffer
            keep(node.target, tensor)
    return fx.GraphModule(root, graph)


@pytest.mark.parametrize("prefix", ["", "L__self___"])
def test_flat_tensors_belong_to_the_layer_that_their_name_begins_with(prefix: str) -> None:
    table = bnlint.inspect(flat(program(training=True), prefix), inputs=images())
    found = by_layer(table)
    assert set(found) == {"bn", "ln", "gn", "inorm", "block_1"}
    assert found["bn"].ignores_eval is True
    assert found["bn"].batches_counted == by_layer(bnlint.inspect(program(training=True)))["bn"].batches_counted
    assert table.model.norm_layers == 5


def test_a_child_may_be_called_like_an_operator() -> None:
    class Repeating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.repeat = nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4))

        def forward(self, x: Tensor) -> Tensor:
            return self.repeat(self.conv(x))

    made = torch.export.export(with_plausible_statistics(Repeating()).eval(), (images(),))
    assert {facts.layer: facts.foldable for facts in bnlint.inspect(made).norms} == {"repeat.0": True}


class Function(nn.Module):
    """A BatchNorm that is called as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        bn = self.bn
        return F.batch_norm(self.conv(x), bn.running_mean, bn.running_var, bn.weight, bn.bias, self.training)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_flag_that_fx_made_a_constant_is_deaf_to_eval(training: bool) -> None:
    graph = fx.symbolic_trace(with_plausible_statistics(Function()).train(training)).eval()
    (facts,) = bnlint.inspect(graph, inputs=images()).norms
    assert (facts.uses_batch_statistics, facts.ignores_eval, facts.training) == (training, training, facts.training)
    assert ("BN103" in codes(graph, inputs=images())) is training


def test_layers_in_a_graph_of_fx_are_layers() -> None:
    graph = fx.symbolic_trace(with_plausible_statistics(Net()).train())
    assert codes(graph, inputs=images())["BN101"] == ("bn", "block.1")
    classes = {facts.layer: facts.class_name for facts in bnlint.inspect(graph, inputs=images()).norms}
    assert (len(classes), classes["bn"], classes["ln"]) == (5, "BatchNorm2d", "LayerNorm")


def test_without_a_graph_the_names_of_tensors_show_the_layers() -> None:
    module = program(training=True).module()
    found = by_layer(bnlint.inspect(module, inputs=torch.randn(2, 7, 8, 8)))
    assert {"bn", "block.1"} <= set(found)
    assert found["bn"].has_running_statistics is True


@pytest.mark.parametrize("as_graph", [False, True])
def test_operators_are_kept_by_a_fold(as_graph: bool) -> None:
    result = bnlint.fold(program(training=False).module(), inputs=images(), as_graph=as_graph)
    assert not result.folds
    assert len(result.kept) == 2
    facts = by_layer(bnlint.inspect(program(training=False).module(), inputs=images()))
    assert facts["bn"].foldable is UNKNOWN  # a fold is made in what the graph comes from


@pytest.mark.parametrize(
    ("module", "generated"),
    [(nn.Module(), True), (nn.Sequential(), False), (nn.BatchNorm2d(3), False), (Net(), False)],
    ids=lambda value: type(value).__name__,
)
def test_code_of_ones_own_is_no_generated_code(module: nn.Module, generated: bool) -> None:
    assert has_generated_code(module) is generated
