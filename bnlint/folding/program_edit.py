"""Puts folded weights into an exported program; its dialect, dynamic shapes, inputs and outputs stay as they are."""

from __future__ import annotations

import copy
import operator
from collections.abc import Collection

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument

from bnlint.folding.program_layers import ProgramLayers
from bnlint.folding.program_operators import source_of, tensors_of


def edited(
    program: ExportedProgram, layers: ProgramLayers, folded: nn.Module, gone: Collection[str]
) -> ExportedProgram:
    """A program with the weights of a folded module, and without the BatchNorms that were folded.

    Args:
        program: The original; it is not changed.
        layers: Its layers.
        folded: The module of the layers, folded.
        gone: Paths of the layers that were folded.

    Returns:
        The program.
    """
    edit = _Edit(program)
    for name, path in layers.calls.items():
        node = edit.nodes[name]
        if path in gone:
            edit.remove(node)
        else:
            edit.store(node, path, folded.get_submodule(path))
    edit.drop_unused(gone)
    return edit.program()


class _Edit:
    """A copy of the graph, the signature and the weights of a program, while they are changed."""

    def __init__(self, program: ExportedProgram) -> None:
        self._original = program
        self._graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        result = self._graph.output(self._graph.graph_copy(program.graph, copies))
        result.meta = copy.copy(program.graph.output_node().meta)
        for node, copied in copies.items():
            copied.name = node.name  # copying renames an argument called `input`, as `nn.Sequential` has
        self.nodes = {node.name: copies[node] for node in copies}
        self._signature = copy.deepcopy(program.graph_signature)
        self._modules = copy.deepcopy(program.module_call_graph)
        self._tensors = dict(program.state_dict)
        self._constants = dict(program.constants)

    def remove(self, node: fx.Node) -> None:
        """Take a BatchNorm out: what used its output uses its input."""
        source = source_of(node)
        assert source is not None  # it was made a layer
        results = [user for user in node.users if user.target is operator.getitem] if _is_tuple(node) else [node]
        for result in results:
            self._rename(result.name, source.name)
            result.replace_all_uses_with(source)
        for gone in dict.fromkeys((*results, node)):
            self._graph.erase_node(gone)

    def store(self, node: fx.Node, path: str, layer: nn.Module) -> None:
        """Give the weights of a layer to a call of it."""
        tensors = tensors_of(node)
        for leaf in ("weight", "bias"):
            value = getattr(layer, leaf, None)
            if value is None:
                continue
            if tensors.get(leaf) is None:
                self._add_bias(node, tensors["weight"], f"{path}.{leaf}", value)
            self._tensors[f"{path}.{leaf}"] = value

    def drop_unused(self, owners: Collection[str]) -> None:
        """Take out the inputs of folded layers that nothing reads any more."""
        for specification in list(self._signature.input_specs):
            target = specification.target
            node = self.nodes.get(getattr(specification.arg, "name", ""))
            if target is None or node is None or node.users or target.rpartition(".")[0] not in owners:
                continue
            self._graph.erase_node(node)
            self._signature.input_specs.remove(specification)
            self._tensors.pop(target, None)
            self._constants.pop(target, None)

    def program(self) -> ExportedProgram:
        """The program as it is now; it checks itself."""
        self._graph.lint()
        return ExportedProgram(
            root=self._original.graph_module,
            graph=self._graph,
            graph_signature=self._signature,
            state_dict=self._tensors,
            range_constraints=dict(self._original.range_constraints),
            module_call_graph=self._modules,
            example_inputs=self._original.example_inputs,
            constants=self._constants,
            verifiers=self._original.verifiers,
        )

    def _add_bias(self, node: fx.Node, weight: fx.Node | None, target: str, value: torch.Tensor) -> None:
        assert weight is not None  # it was made a layer
        bias = self.nodes.get(target)
        if bias is None:
            bias = self._new_input(weight, target, value)
            self.nodes[target] = bias
        position = [argument.name for argument in node.target._schema.arguments].index("bias")  # type: ignore[union-attr]
        if len(node.args) > position:
            node.update_arg(position, bias)
        else:
            node.update_kwarg("bias", bias)

    def _new_input(self, weight: fx.Node, target: str, value: torch.Tensor) -> fx.Node:
        """A new parameter, right after another: exported graphs take their parameters as inputs."""
        with self._graph.inserting_after(weight):
            node = self._graph.placeholder(f"p_{target.replace('.', '_')}")
        node.target = node.name
        with weight.meta["val"].fake_mode:
            node.meta["val"] = torch.empty(value.shape, dtype=value.dtype, device=value.device)
        names = [getattr(specification.arg, "name", "") for specification in self._signature.input_specs]
        specification = InputSpec(InputKind.PARAMETER, TensorArgument(node.name), target)
        self._signature.input_specs.insert(names.index(weight.name) + 1, specification)
        return node

    def _rename(self, old: str, new: str) -> None:
        self._signature.replace_all_uses(old, new)
        for entry in self._modules:
            signature = entry.signature
            for argument in (*signature.inputs, *signature.outputs) if signature is not None else ():
                if getattr(argument, "name", None) == old:
                    argument.name = new


def _is_tuple(node: fx.Node) -> bool:
    return len(node.target._schema.returns) > 1  # type: ignore[union-attr]
