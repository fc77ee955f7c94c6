"""Normalisation layers that ONNX has no operator for, put together again from the calls that stand for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

import msgspec

from bnlint.artifacts.inert.onnx_contents import Attribute, OnnxContents, OnnxNode
from bnlint.norms.kinds import NormKind
from bnlint.norms.onnx import OF_LAYERS, TENSORS
from bnlint.norms.tensors import STATISTICS
from bnlint.tracing.onnx_notes import norm_layer

IN_PARTS: Final = "in_parts"
"""The note of a call that was put together: its tensors are those of its parts, and are not told apart."""

_STATISTICS: Final = slice(1 + TENSORS.index(STATISTICS[0]), None)
"""The mean and the variance among the inputs of `BatchNormalization`."""


def put_together(contents: OnnxContents) -> OnnxContents:
    """Replace the calls that stand for one normalisation layer by one call.

    Before version 21 of its operators ONNX has no GroupNorm, before 23 no RMSNorm, and torch's exporter writes five and
    more operators for them, with notes that say whose they are. Beside the operator of a layer without a scale of its
    own stand those that make ones and zeros, and beside that of a BatchNorm without running statistics those that take
    them from the batch.

    Args:
        contents: What the file holds.

    Returns:
        The same, with one call for such a layer wherever one value enters its calls and one leaves them.
    """
    readers = Counter(name for node in contents.nodes for name in node.inputs)
    readers.update(contents.outputs)
    constants = {constant.name for constant in contents.constants}
    nodes: list[OnnxNode] = []
    for layer, run in groupby(contents.nodes, norm_layer):
        calls = list(run)
        whole = None if layer is None or len(calls) < 2 else _whole(calls, layer[1], readers, constants)
        nodes.extend(calls if whole is None else [whole])
    return msgspec.structs.replace(contents, nodes=tuple(nodes))


def _whole(calls: Sequence[OnnxNode], kind: NormKind, readers: Counter[str], constants: set[str]) -> OnnxNode | None:
    operator = OF_LAYERS.get(kind)
    if operator is None or any(call.has_graph for call in calls):
        return None
    made = {name for call in calls for name in call.outputs if name}
    inside = Counter(name for call in calls for name in call.inputs)
    enter = list(dict.fromkeys(name for name in inside if name and name not in made and name not in constants))
    leave = [name for name in made if readers[name] > inside[name]]
    if len(enter) != 1 or len(leave) != 1:
        return None
    own = [call for call in calls if call.operator == operator]
    if own:
        whole = own[0].inputs[:1] == (enter[0],) and own[0].outputs[:1] == (leave[0],)
        return _with_own_tensors(own[0], calls, constants) if len(own) == 1 and whole else None
    last = calls[-1]
    notes = {**last.notes, IN_PARTS: "yes"}
    return OnnxNode(last.name, operator, (enter[0],), (leave[0],), _epsilon(calls), notes=notes)


def _with_own_tensors(call: OnnxNode, calls: Sequence[OnnxNode], constants: set[str]) -> OnnxNode | None:
    """The call of a layer, without the tensors that the calls beside it make; `None` where they make them of others."""
    # Those of torch are named by their path; constants that the exporter makes, such as axes, have a number.
    kept = {name for other in calls for name in other.inputs if name in constants and "." in name}
    made: set[str] = set()
    for other in calls:
        (made if kept.isdisjoint(other.inputs) else kept).update(other.outputs)
    if not kept.isdisjoint(set(call.inputs) - constants):
        return None
    inputs = (call.inputs[0], *("" if name in made else name for name in call.inputs[1:]))
    attributes = dict(call.attributes)
    if call.operator == OF_LAYERS[NormKind.BATCH] and inputs[_STATISTICS] == ("", ""):
        attributes["training_mode"] = 1
    return msgspec.structs.replace(call, inputs=inputs, attributes=attributes)


def _epsilon(calls: Iterable[OnnxNode]) -> dict[str, Attribute]:
    found = [call.attributes["epsilon"] for call in calls if "epsilon" in call.attributes]
    return {"epsilon": found[0]} if found else {}
