"""An exported program as a module with layers under the paths of the original model, to be folded as any other."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, fx, nn
from torch._ops import HigherOrderOperator
from torch.export import ExportedProgram

from bnlint.folding.plan import Kept
from bnlint.folding.program_operators import arguments_of, build, source_of, tensors_of
from bnlint.folding.reasons import EXPORTED_IN_TRAINING_MODE
from bnlint.norms.kinds import NormKind
from bnlint.norms.tensors import COUNTER, STATISTICS, TENSORS
from bnlint.tracing.exported import layer_of_operator
from bnlint.tracing.operator_calls import kind_of_operator, operator_of
from bnlint.tracing.roles import operator_name

_CHECKS = frozenset({"_assert_tensor_metadata", "_assert_scalar"})
"""Operators that only check, among other things the data type, which is another one in the proof."""


@dataclass(frozen=True)
class ProgramLayers:
    """An exported program with layers.

    Attributes:
        module: The module; its parameters are those of the program.
        calls: Path of the layer by the name of the node that calls it in the program.
        kept: BatchNorms that stayed operators.
    """

    module: fx.GraphModule
    calls: Mapping[str, str]
    kept: tuple[Kept, ...]

    def all_kept(self, planned: Iterable[Kept]) -> tuple[Kept, ...]:
        """The BatchNorms that stay.

        Args:
            planned: Those that the plan of the module keeps; of operators it cannot say as much as is known here.
        """
        layers = set(self.calls.values())
        return (*(item for item in planned if item.layer in layers), *self.kept)


def with_layers(program: ExportedProgram) -> ProgramLayers:
    """Make layers of the operators of a program that are layers.

    Args:
        program: A program of any dialect; it is not changed.

    Returns:
        The layers. Operators that train, or whose weights are computed or shared by calls that differ, stay operators.
    """
    unlifted = program.module()
    graph: fx.Graph = copy.deepcopy(unlifted.graph)
    for node in list(graph.nodes):
        if node.op == "call_module" or _operator(node) in _CHECKS:  # guards on the inputs
            graph.erase_node(node)
    module = fx.GraphModule(unlifted, graph, "ExportedProgram")
    for node in graph.find_nodes(op="get_attr"):
        node.meta["attribute"] = node.target
    calls: dict[str, str] = {}
    kept = []
    for node in list(graph.nodes):
        path = _path(node)
        if _trains(node):
            kept.append(Kept(layer_of_operator(node)[0], EXPORTED_IN_TRAINING_MODE, EXPORTED_IN_TRAINING_MODE))
        elif path and _make_layer(module, node, path, program.state_dict):
            calls[node.name] = path
        elif kind_of_operator(node) is NormKind.BATCH:
            reason = _obstacle(node, path)
            kept.append(Kept(layer_of_operator(node)[0], reason, reason))
        else:
            kept += _within(node)
    graph.eliminate_dead_code()
    graph.lint()
    module.recompile()
    return ProgramLayers(module.eval(), calls, tuple(dict.fromkeys(kept)))


def _within(node: fx.Node) -> list[Kept]:
    """The BatchNorms that an operator with graphs of its own calls in them: it is given their statistics."""
    if not isinstance(node.target, HigherOrderOperator):
        return []
    names = [str(source.target).rpartition(".") for source in node.all_input_nodes if source.op == "get_attr"]
    reason = "it is called in a graph within the graph, as `torch.no_grad()` and `torch.cond` make: export without"
    return [Kept(owner, reason, reason) for owner, _, name in names if name == STATISTICS[0]]


def _obstacle(node: fx.Node, path: str) -> str:
    """Why a BatchNorm stays an operator."""
    if not _has_statistics(node):
        return "it keeps no running statistics"
    if any(value is not None and value.op != "get_attr" for value in tensors_of(node).values()):
        return "the program computes its statistics or its affine"
    if not path:
        return "its statistics and its affine have other names than those of a layer within the model"
    return "it is called otherwise than a layer would be, or than another call of it is"


def _operator(node: fx.Node) -> str:
    return operator_name(node.target) if node.op == "call_function" else ""


def _has_statistics(node: fx.Node) -> bool:
    return arguments_of(node).get(STATISTICS[0]) is not None


def _trains(node: fx.Node) -> bool:
    """Whether a BatchNorm with running statistics uses those of the batch."""
    operator = operator_of(node) if kind_of_operator(node) is NormKind.BATCH else None
    if operator is None or not _has_statistics(node):
        return False
    return operator.uses_batch_statistics(arguments_of(node)) is True


def _path(node: fx.Node) -> str:
    """Path of the layer that an operator was: the owner of its weights, where they have the names of a layer's."""
    if not _operator(node):
        return ""
    names = {leaf: value for leaf, value in tensors_of(node).items() if value is not None}
    owners = set()
    for leaf, value in names.items():
        owner, _, name = str(value.target).rpartition(".") if value.op == "get_attr" else ("", "", "")
        owners.add(owner if name == leaf else "")
    return owners.pop() if len(owners) == 1 else ""


def _make_layer(module: fx.GraphModule, node: fx.Node, path: str, state: Mapping[str, Tensor]) -> bool:
    values = {leaf: None if value is None else _tensor(module, value) for leaf, value in tensors_of(node).items()}
    layer, source = build(node, values), source_of(node)
    if layer is None or source is None:
        return False
    there = module.get_submodule(path)
    is_made = type(there).__module__.startswith("torch.nn.modules.") and type(there) is not nn.Module
    if is_made and repr(there) != repr(layer):
        return False
    if any(True for _ in there.children()) or not set(dict(there.named_parameters())) <= set(TENSORS):
        return False
    results = [user for user in node.users if _operator(node) != "batch_norm" and user.target is operator.getitem]
    if results and [user.args[1] for user in node.users] != [0]:  # the statistics that a core operator gives back
        return False
    if not is_made:
        if hasattr(layer, COUNTER):
            layer._buffers[COUNTER] = state.get(f"{path}.{COUNTER}")
        owner, _, name = path.rpartition(".")
        module.get_submodule(owner)._modules[name] = layer
    with module.graph.inserting_before(node):
        call = module.graph.call_module(path, (source,))
    call.meta = copy.copy((results or [node])[0].meta)
    for replaced in (*results, node):
        replaced.replace_all_uses_with(call)
        module.graph.erase_node(replaced)
    return True


def _tensor(module: nn.Module, node: fx.Node) -> Tensor:
    owner, _, name = str(node.target).rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(owner), name)
    return tensor
