"""The trace of an ONNX file: its graph, with functions of torch in place of its operators."""

from __future__ import annotations

from bnlint.artifacts.lazy_tensors import LazyTensors
from bnlint.artifacts.onnx_file import OnnxModel
from bnlint.tracing.contradictions import of_onnx
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.kinds import How, Role
from bnlint.tracing.onnx_graph import OnnxGraph
from bnlint.tracing.onnx_hidden import hidden_norms
from bnlint.tracing.onnx_norms import OnnxNorms
from bnlint.tracing.onnx_parts import put_together
from bnlint.tracing.program import looking_into
from bnlint.tracing.trace import Trace


def trace_onnx(model: OnnxModel) -> Trace:
    """Read the graph of an ONNX file; nothing of it is run.

    Args:
        model: The model as data.

    Returns:
        A trace of how `exported`. Operators of other libraries, and those with graphs of their own, have the role
        `UNKNOWN`. Where inputs take a batch of any size, the shapes are those of a batch of two.

    Raises:
        NotAnalysedError: The graph contradicts itself.
    """
    with looking_into(model.name, lambda: of_onnx(model)):
        contents = put_together(model.contents)
        graph = OnnxGraph(contents).graph
        norms = OnnxNorms(graph, contents, LazyTensors(model.tensors))
        inputs = Inputs(tuple(node.meta["val"] for node in graph.nodes if node.meta["role"] is Role.INPUT))
        hidden = hidden_norms(contents)
        return Trace(
            graph=graph,
            how=How.EXPORTED,
            reason=f"Not looked at: {', '.join(hidden)}." if hidden else "",
            all_norms_seen=not hidden,
            inputs=str(inputs),
            inputs_assumed=contents.batch_assumed,
            batch_size=inputs.batch_size,
            norm_calls=norms.calls,
            attributes=norms.attributes,
            complete=not any(node.meta["role"] is Role.UNKNOWN for node in graph.nodes),
        )
