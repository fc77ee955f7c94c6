"""The normalisation calls in the graph of an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from torch import Tensor, fx, nn

from bnlint.artifacts.inert.onnx_contents import OnnxContents, OnnxNode
from bnlint.norms.kinds import NormKind
from bnlint.norms.mode import uses_batch_statistics
from bnlint.norms.onnx import EPSILON, MOMENTUM, NORMALISATIONS, TENSORS, training
from bnlint.tracing.onnx_notes import module_of, norm_layer
from bnlint.tracing.onnx_numbers import as_written, complement
from bnlint.tracing.onnx_parts import IN_PARTS
from bnlint.tracing.trace import NormCall

_UNKNOWN: Final = "unknown tensor"
"""Name of an attribute that stands for tensors that the graph computes, or that are laid out in a form not read."""


class OnnxNorms:
    """Finds the normalisation calls of a graph.

    Attributes:
        calls: They, in call order.
        attributes: The constants by name, and what stands for tensors that cannot be had.

    Args:
        graph: The graph, as `OnnxGraph` builds it.
        contents: What the file holds.
        tensors: Its constants.
    """

    def __init__(self, graph: fx.Graph, contents: OnnxContents, tensors: Mapping[str, Tensor]) -> None:
        self._contents = contents
        self.attributes = _Attributes(tensors)
        self._paths: dict[str, tuple[str, ...]] = {}
        self.calls = tuple(self._calls(graph))

    def _calls(self, graph: fx.Graph) -> Iterator[NormCall]:
        for node in graph.nodes:
            call = node.meta.get("onnx")
            if call is not None and call.operator in NORMALISATIONS:
                yield self._call(node, call, NORMALISATIONS[call.operator])

    def _call(self, node: fx.Node, call: OnnxNode, kind: NormKind) -> NormCall:
        layer = norm_layer(call)
        functional = layer is None and not _by_weights(call) and module_of(call) is not None
        source = node.args[0] if node.args else None
        in_parts = IN_PARTS in call.notes
        node.meta["tensors_unknown"] = in_parts
        arguments = {} if in_parts else self._tensors(node)
        epsilon = call.attributes.get("epsilon", None if in_parts else EPSILON)
        if isinstance(epsilon, (int, float)):
            arguments["eps"] = as_written(epsilon)
        if kind is NormKind.BATCH and not in_parts:
            arguments |= _momentum(call)
        return NormCall(
            node=node,
            input_node=source if isinstance(source, fx.Node) else None,
            layer=layer[0] if layer is not None else (module_of(call) or "") if functional else self._path(call),
            kind=kind,
            module=None,
            registered=True,
            functional=functional,
            uses_batch_statistics=_uses_batch(call, kind, self._contents.opset),
            arguments=arguments,
            location=node.meta.get("location"),
        )

    def _tensors(self, node: fx.Node) -> dict[str, Any]:
        """The tensors of a call by torch's names; it has each of them, whether its values can be had or not."""
        found: dict[str, Any] = {}
        for name, given in zip(TENSORS, node.args[1:], strict=False):
            if not isinstance(given, fx.Node):
                continue
            if given.meta.get("attribute") not in self.attributes:
                given.meta["attribute"] = _UNKNOWN
            found[name] = given
        return found

    def _path(self, call: OnnxNode) -> str:
        """A name for a layer without notes, each call its own: weights of the same values may be one initialiser."""
        path = _by_weights(call) or _by_name(call.name) or call.name or next(iter(call.outputs), "")
        taken = self._paths.setdefault(path, call.outputs)
        return path if taken == call.outputs else next(iter(call.outputs), path)


class _Attributes(Mapping[str, Tensor]):
    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._unknown = nn.UninitializedParameter()

    def __getitem__(self, name: str) -> Tensor:
        return self._unknown if name == _UNKNOWN else self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name == _UNKNOWN or name in self._tensors


def _uses_batch(call: OnnxNode, kind: NormKind, opset: int) -> bool | None:
    if IN_PARTS in call.notes:  # statistics are somewhere among the parts, or are not
        return uses_batch_statistics(kind, training=None, statistics=None)
    flag = training(call.attributes, len([name for name in call.outputs if name]), opset)
    return uses_batch_statistics(kind, training=flag, statistics=kind is NormKind.BATCH)


def _momentum(call: OnnxNode) -> dict[str, float]:
    """Momentum as torch counts it: a share of 0 for the batch is what is written for a cumulative average, too."""
    momentum = call.attributes.get("momentum", MOMENTUM)
    if not isinstance(momentum, (int, float)) or not 0 <= momentum < 1:
        return {}
    return {"momentum": complement(momentum)}


def _by_weights(call: OnnxNode) -> str:
    """The path that all names of weights begin with, as exporters keep it from torch."""
    names = dict(zip(TENSORS, call.inputs[1:], strict=False))
    owners = {given.rpartition(".")[0] for name, given in names.items() if given.endswith(f".{name}")}
    complete = all(given.endswith(f".{name}") for name, given in names.items())
    return owners.pop() if len(owners) == 1 and complete else ""


def _by_name(name: str) -> str:
    """The path in the name of a call as the older exporter writes it: `/layer1/layer1.0/bn1/BatchNormalization`."""
    scopes = name.split("/")[1:-1] if name.startswith("/") else []
    path = ""
    for scope in scopes:
        path = scope if not path or scope.startswith(f"{path}.") else f"{path}.{scope}"
    return path
