"""What an ONNX file shows of its export: the mode that the model was in, and what the exporter left."""

from __future__ import annotations

from torch import fx

from bnlint.artifacts.onnx_file import OnnxModel
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.norms.kinds import NormKind
from bnlint.tracing.axes import shape_of
from bnlint.tracing.kinds import Role
from bnlint.tracing.onnx_notes import has_notes, norm_layer, was_training
from bnlint.tracing.trace import NormCall

_CONVOLUTIONS = (Role.CONVOLUTION, Role.TRANSPOSED_CONVOLUTION)


def batch_norms_exported_in_training(model: OnnxModel | None) -> Maybe[int | None]:
    """BatchNorm layers that were in training mode at the export and are written as inference.

    Torch's exporter folds most of them into the convolution before, which then has their note.

    Args:
        model: The ONNX model; `None` for any other target.

    Returns:
        Their number; unknown in a file without notes of torch's exporter.
    """
    if model is None:
        return None
    calls = model.contents.nodes
    if not has_notes(calls):
        return UNKNOWN
    trained = [call for call in calls if was_training(call) and not call.attributes.get("training_mode")]
    layers = {layer[0] if (layer := norm_layer(call)) is not None else call.outputs for call in trained}
    return len(layers)


def dropout_before(model: OnnxModel | None, found: Maybe[float]) -> Maybe[float]:
    """The dropout upstream of a call: exporters leave one in eval mode out, without a trace.

    Args:
        model: The ONNX model; `None` for any other target.
        found: The largest probability of the dropouts in the graph.
    """
    return UNKNOWN if model is not None and found == 0 else found


def left_in_onnx(model: OnnxModel | None, call: NormCall) -> bool | None:
    """Whether an ONNX file keeps a BatchNorm that the layer before it could take in.

    Args:
        model: The ONNX model; `None` for any other target.
        call: The call.
    """
    if model is None or call.kind is not NormKind.BATCH:
        return None
    node = call.input_node
    if node is None or call.uses_batch_statistics is not False or not _is_read_once(node):
        return False
    weight = node.args[1] if len(node.args) > 1 else None
    if not isinstance(weight, fx.Node) or "attribute" not in weight.meta or not _is_read_once(weight):
        return False
    role: Role = node.meta["role"]
    shape = shape_of(node)
    return role in _CONVOLUTIONS or (role is Role.LINEAR and shape is not None and len(shape) == 2)


def _is_read_once(node: fx.Node) -> bool:
    """Whether one call alone reads the values; others may ask for the shape."""
    readers = (user for user in node.users if user.meta["role"] is not Role.CONSTANT)
    return next(readers, None) is not None and next(readers, None) is None
