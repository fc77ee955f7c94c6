"""Folds the affine of a BatchNorm into what comes before it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from bnlint.folding.beside import Beside
from bnlint.folding.carriers import carrier_of
from bnlint.folding.concatenations import concatenated, concatenation_axis
from bnlint.folding.parts import before_part
from bnlint.folding.plan import Change, Channels, Side
from bnlint.folding.reasons import CannotFoldError
from bnlint.folding.steps import Steps, is_batched, name_of
from bnlint.folding.sums import is_sum, terms_of
from bnlint.folding.uses import Uses
from bnlint.folding.wanted import Wanted
from bnlint.norms.classes import norm_kind
from bnlint.tracing.arguments import argument
from bnlint.tracing.axes import shape_of
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import Trace


class Upstream:
    """Walks against the flow until every branch has found a carrier.

    Args:
        trace: The graph.
        uses: Who uses what.
        gone: Calls of BatchNorms that are folded already: nothing happens there any more.
        positive: Whether the scale is known to be positive in every channel.
    """

    def __init__(self, trace: Trace, uses: Uses, gone: Collection[fx.Node], positive: bool = False) -> None:
        self._trace = trace
        self._uses = uses
        self._gone = gone
        self._steps = Steps(trace, gone, positive)
        self._beside = Beside(trace, uses, gone)

    def absorb(self, reader: fx.Node, node: fx.Node, axis: int, channels: Channels) -> tuple[list[Wanted], list[str]]:
        """Have the value of a node scaled and shifted by what makes it.

        Args:
            reader: The node that reads the value; the only one.
            node: The node of the value.
            axis: Its channel axis.
            channels: The channel of the BatchNorm at each place along that axis.

        Returns:
            What is wanted of the carriers, and the names of the operators on the way.

        Raises:
            CannotFoldError: With the reason.
        """
        through: list[str] = []
        return self._absorb(frozenset({reader}), node, axis, channels, True, through), through

    def _absorb(
        self,
        readers: frozenset[fx.Node],
        node: fx.Node,
        axis: int,
        channels: Channels,
        with_shift: bool,
        through: list[str],
    ) -> list[Wanted]:
        self._require_no_other_use(node, readers)
        role: Role = node.meta.get("role", Role.UNKNOWN)
        carrier = _CARRIERS.get(role)
        if carrier is not None and node not in self._gone:
            return [Wanted(node, carrier(self, node, axis, channels, with_shift))]
        through.append(name_of(node))
        if self._steps.passes(node):
            place = self._steps.back(node, axis, channels)
            return self._absorb(frozenset({node}), place.node, place.axis, place.channels, with_shift, through)
        if terms_of(node):
            return self._through_addition(node, axis, channels, with_shift, through)
        if role is Role.CONCATENATION:
            return self._through_concatenation(node, axis, channels, with_shift, through)
        if role is Role.PART:
            whole = before_part(node, axis, channels, self._uses)
            return self._absorb(whole.readers, whole.node, whole.axis, whole.channels, with_shift, through)
        raise CannotFoldError(*_what_it_follows(node, role))

    def _through_addition(
        self, node: fx.Node, axis: int, channels: Channels, with_shift: bool, through: list[str]
    ) -> list[Wanted]:
        """Every operand takes the scale, one that is not subtracted takes the shift."""
        wanted: list[Wanted] = []
        for term in terms_of(node):
            own_axis = _aligned(term.node, node, axis, len(channels))
            takes_shift = with_shift and term.sign > 0
            try:
                wanted += self._absorb(frozenset({node}), term.node, own_axis, channels, takes_shift, through)
                with_shift = with_shift and not takes_shift
            except CannotFoldError as error:
                if axis != 1 or not is_sum(node):
                    raise
                try:
                    wanted.append(self._beside.absorb_skip(node, term.node, channels))
                except CannotFoldError:
                    raise error from None
        if with_shift:
            raise CannotFoldError("nothing in {} can take the shift", name_of(node))
        return wanted

    def _through_concatenation(
        self, node: fx.Node, axis: int, channels: Channels, with_shift: bool, through: list[str]
    ) -> list[Wanted]:
        if operator_name(node.target) == "stack":
            return self._through_stack(node, axis, channels, with_shift, through)
        parts = concatenated(node)
        along = concatenation_axis(node)
        if parts is None or along is None:
            raise CannotFoldError("it follows {}", name_of(node))
        wanted: list[Wanted] = []
        for part, start, size in parts:
            own = channels[start : start + size] if along == axis else channels
            wanted += self._absorb(frozenset({node}), part, axis, own, with_shift, through)
        return wanted

    def _through_stack(
        self, node: fx.Node, axis: int, channels: Channels, with_shift: bool, through: list[str]
    ) -> list[Wanted]:
        new = argument(node, 1, "dim", 0) % len(shape_of(node) or (0,))
        if new == axis:
            raise CannotFoldError("it follows {}", name_of(node))
        own = axis - (new < axis)
        return [
            one
            for part in node.all_input_nodes
            for one in self._absorb(frozenset({node}), part, own, channels, with_shift, through)
        ]

    def _require_no_other_use(self, node: fx.Node, readers: frozenset[fx.Node]) -> None:
        if any(writer not in readers for writer in node.meta.get("written_by", ())):
            raise CannotFoldError("the value of {} is changed in place", name_of(node))
        if any(user not in readers for user in self._uses.value_users(node)):
            raise CannotFoldError("the output of {} is used elsewhere too", name_of(node))

    def convolution(self, node: fx.Node, axis: int, channels: Channels, with_shift: bool) -> Change:
        """A convolution of any rank, plain or transposed: the channels are axis 1."""
        path, module = carrier_of(node, self._uses, self._trace)
        batched = isinstance(module, (_ConvNd, _ConvTransposeNd)) and is_batched(node, len(module.kernel_size))
        if not batched or axis != 1 or module.out_channels != len(channels):
            raise CannotFoldError("its channels are not the channels of {}", path)
        return Change(path, Side.OUTPUT, channels, with_shift)

    def linear(self, node: fx.Node, axis: int, channels: Channels, with_shift: bool) -> Change:
        """A linear layer: the features are the last axis."""
        path, module = carrier_of(node, self._uses, self._trace)
        shape = shape_of(node) or ()
        if not isinstance(module, nn.Linear) or axis != len(shape) - 1 or module.out_features != len(channels):
            raise CannotFoldError("its channels are not the features of {}", path)
        return Change(path, Side.OUTPUT, channels, with_shift)

    def embedding(self, node: fx.Node, axis: int, channels: Channels, with_shift: bool) -> Change:
        """An embedding: the features are the last axis, and every row takes the affine."""
        path, module = carrier_of(node, self._uses, self._trace)
        shape = shape_of(node) or ()
        if not isinstance(module, nn.Embedding) or axis != len(shape) - 1 or module.max_norm is not None:
            raise CannotFoldError("its channels are not the features of {}", path)
        return Change(path, Side.OUTPUT, channels, with_shift)

    def normalisation(self, node: fx.Node, axis: int, channels: Channels, with_shift: bool) -> Change:
        """Another normalisation with a scale and a shift for each channel."""
        path, module = carrier_of(node, self._uses, self._trace)
        weight = getattr(module, "weight", None)
        last = axis == len(shape_of(node) or ()) - 1
        batched = not isinstance(module, _InstanceNorm) or is_batched(node, module._get_no_batch_dim() - 1)  # type: ignore[no-untyped-call]
        places = last if isinstance(module, nn.LayerNorm) else axis == 1 and batched
        affine = isinstance(weight, Tensor) and weight.dim() == 1 and weight.numel() == len(channels)
        if not affine or not places or not isinstance(module, (_BatchNorm, nn.GroupNorm, nn.LayerNorm, _InstanceNorm)):
            raise CannotFoldError(
                f"it follows {{}}, a {norm_kind(module) or 'normalisation'} without an affine to take it", path
            )
        return Change(path, Side.OUTPUT, channels, with_shift)


_CARRIERS: dict[Role, Callable[[Upstream, fx.Node, int, Channels, bool], Change]] = {
    Role.CONVOLUTION: Upstream.convolution,
    Role.TRANSPOSED_CONVOLUTION: Upstream.convolution,
    Role.LINEAR: Upstream.linear,
    Role.EMBEDDING: Upstream.embedding,
    Role.NORMALISATION: Upstream.normalisation,
}


def _aligned(operand: fx.Node, result: fx.Node, axis: int, size: int) -> int:
    """The axis of an operand that becomes an axis of a sum: shapes that differ are aligned at their ends."""
    shape, whole = shape_of(operand) or (), shape_of(result) or ()
    own = axis - (len(whole) - len(shape))
    if own < 0 or shape[own] != size:
        raise CannotFoldError("the channels of {} are spread over others", name_of(operand))
    return own


def _what_it_follows(node: fx.Node, role: Role) -> tuple[str, ...]:
    """The reason and its names for an operator that no affine passes."""
    words = {
        Role.INPUT: "the input of the model",
        Role.CONSTANT: "a constant",
        Role.UNKNOWN: "something that could not be traced",
    }
    if role in words:
        return (f"it follows {words[role]}",)
    article = "an" if str(role)[0] in "aeiou" else "a"
    return f"it follows {article} {str(role).replace('_', ' ')} ({{}})", name_of(node)
