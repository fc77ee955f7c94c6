"""What tracing gives: a graph, how it came about, and the normalisation calls in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx, nn
from torch._ops import OpOverload

from bnlint.norms.kinds import NormKind
from bnlint.report import Location
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.kinds import How


@dataclass(frozen=True)
class NormCall:
    """One call of a normalisation layer or function.

    Attributes:
        node: The node of the call.
        input_node: The node of the values that are normalised; `None` where it is not a node.
        layer: Path of the layer; for a function outside any normalisation layer, of the module that calls it.
        kind: Kind of normalisation.
        module: The user's own module object; `None` for a function outside any normalisation layer.
        registered: Whether the layer is in the module tree.
        functional: Whether a function is called outside any normalisation layer.
        uses_batch_statistics: Whether the call, in the present mode, normalises by the batch; `None` if unknown.
        arguments: For functions: argument name to argument (`weight`, `running_mean`, `eps` …).
        location: The user's line of the call.
    """

    node: fx.Node
    input_node: fx.Node | None
    layer: str
    kind: NormKind
    module: nn.Module | None
    registered: bool
    functional: bool
    uses_batch_statistics: bool | None
    arguments: Mapping[str, Any]
    location: Location | None

    @property
    def inlined(self) -> bool:
        """Whether an operator is called in place of a layer, of which the tensors alone are left."""
        return self.module is None and not self.functional

    @property
    def lowered(self) -> bool:
        """Whether an operator such as `aten.batch_norm.default` is called, as in graphs without layers."""
        return self.module is None and isinstance(self.node.target, OpOverload)

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Shape of the values that are normalised; `None` where no shapes were seen."""
        value = self.input_node.meta.get("val") if self.input_node is not None else None
        return tuple(value.shape) if isinstance(value, Tensor) else None


@dataclass(frozen=True)
class Trace:
    """A model's graph.

    The graph is a specialisation: shapes, Python numbers and the branches taken are those of the run. It is valid for
    inputs of the same shapes, dtypes and structure, in the mode (training or evaluation) that the model was in.

    Attributes:
        graph: The graph; `graph.lint()` passes. Each node's `meta` has `val` (a meta tensor or a structure of them),
            `role`, `stack` (file, line, function of the user's call), and for normalisation calls `layer`.
        how: How the graph came about.
        reason: Why there is no better graph, one sentence; empty for a full record.
        advice: What would give a better graph, a clause such as "give an input with `--input 1x3xHxW`"; likewise.
        inputs: The inputs of the run in words, such as `1x3x224x224:float32`; empty where none was run.
        inputs_assumed: Whether bnlint chose the inputs.
        example: The inputs themselves, for another run; `None` where none was run.
        batch_size: Size of the first axis that all tensor inputs share; `None` where there is none.
        norm_calls: Normalisation calls in call order.
        attributes: What the `get_attr` and `call_module` targets stand for: the user's own objects.
        complete: Whether every value in the graph is explained by the graph; false for parts and opaque regions.
        all_norms_seen: Whether every normalisation call is among `norm_calls`; false where others are known to be.
    """

    graph: fx.Graph
    how: How
    reason: str = ""
    advice: str = ""
    inputs: str = ""
    inputs_assumed: bool = False
    example: Inputs | None = None
    batch_size: int | None = None
    norm_calls: tuple[NormCall, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True
    all_norms_seen: bool = True

    def graph_module(self) -> fx.GraphModule:
        """The graph as a module that shares the user's own leaf modules and parameters.

        Returns:
            A module that computes what the model computes for inputs of the traced shapes. It runs on real tensors
            if the model has them.
        """
        return fx.GraphModule(dict(self.attributes), self.graph)
