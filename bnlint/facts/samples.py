"""Whether a normalisation call mixes the samples of a batch."""

from __future__ import annotations

from torch import fx

from bnlint.facts.flow import Flow
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.norms.kinds import NormKind
from bnlint.tracing.kinds import Role
from bnlint.tracing.trace import NormCall


class Samples:
    """Knows what in a graph comes from the inputs of the model.

    Args:
        flow: The edges of the graph along which values travel.
        batch_size: Samples in the traced run; `None` if unknown.
    """

    def __init__(self, flow: Flow, batch_size: int | None) -> None:
        self._flow = flow
        self._batch_size = batch_size
        self._origins: dict[fx.Node, frozenset[Role]] = {}
        for node in flow.nodes:
            role: Role = node.meta.get("role", Role.UNKNOWN)
            own = frozenset({role} & {Role.INPUT, Role.UNKNOWN})
            self._origins[node] = own.union(*(self._origins[source] for source in flow.sources(node)))

    def mixes(self, call: NormCall) -> Maybe[bool | None]:
        """Whether the statistics of the batch are taken across samples.

        Not so where weights are standardised by `F.batch_norm`, and where a batch is laid into the channels, as (N, C,
        H, W) into (1, N·C, H, W), so that each sample has channels of its own.

        Returns:
            Null for other kinds than BatchNorm.
        """
        if call.kind is not NormKind.BATCH:
            return None
        if call.input_node is None:
            return UNKNOWN
        values = self._flow.values(call.input_node, call.node)
        origins = frozenset[Role]().union(*(self._origins[node] for node in values))
        if Role.INPUT not in origins:
            return UNKNOWN if Role.UNKNOWN in origins else False
        shape = call.input_shape
        if shape is None or len(shape) < 2:
            return UNKNOWN
        if shape[0] > 1:
            return True
        if self._batch_size is None:
            return UNKNOWN
        return False if self._batch_size > 1 else self._of_a_batch_of_one(call.input_node)

    def _of_a_batch_of_one(self, node: fx.Node) -> Maybe[bool]:
        """With one sample, (N, C, H, W) and (1, N·C, H, W) look the same: known where values were not moved before."""
        return UNKNOWN if node.meta.get("role") is Role.MOVE else True
