"""Gives each BatchNorm of a model its verdict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from numbers import Real

import numpy
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnlint.artifacts.user_code import described
from bnlint.folding.beside import Beside
from bnlint.folding.downstream import Downstream
from bnlint.folding.plan import Channels, Kept, Plan, PlannedFold, Side
from bnlint.folding.reasons import OF_A_GRAPH, TRAINING_MODE, CannotFoldError
from bnlint.folding.remainder import nodes_inside, remainder
from bnlint.folding.upstream import Upstream
from bnlint.folding.uses import Uses
from bnlint.folding.wanted import Wanted, agreed
from bnlint.interruption import is_interruption
from bnlint.norms.classes import norm_kind
from bnlint.norms.kinds import NormKind
from bnlint.norms.tensors import ARGUMENTS, STATISTICS
from bnlint.tracing.failure import is_of_the_model
from bnlint.tracing.kinds import How
from bnlint.tracing.live import named_modules
from bnlint.tracing.trace import NormCall, Trace
from bnlint.user_objects import guarded

Absorb = Callable[[NormCall], tuple[list[Wanted], list[str]]]


def make_plan(model: nn.Module, trace: Trace, keep: Mapping[str, tuple[str, ...]] | None = None) -> Plan:
    """Decide for each BatchNorm layer whether and into what it can be folded.

    Args:
        model: The model; its weights are not read.
        trace: Its trace, with shapes.
        keep: BatchNorm layers that must stay, each with the reason as a template and its names.

    Returns:
        The verdicts: every BatchNorm layer that is called or defined is in one of the two lists.
    """
    return _Planner(model, trace, keep or {}).plan()


class _Planner:
    def __init__(self, model: nn.Module, trace: Trace, keep: Mapping[str, tuple[str, ...]]) -> None:
        self._keep = keep
        self._model = model
        self._trace = trace
        self._uses = Uses(model, trace)
        self._paths: dict[int, list[str]] = defaultdict(list)
        for path, module in named_modules(model, once=False):
            self._paths[id(module)].append(path)
        self._inside = nodes_inside(trace)
        self._gone: set[fx.Node] = set()
        self._folds: list[PlannedFold] = []
        self._kept: list[Kept] = []

    def plan(self) -> Plan:
        by_layer: dict[str, list[NormCall]] = defaultdict(list)
        for call in self._trace.norm_calls:
            if call.kind is NormKind.BATCH:
                by_layer[call.layer].append(call)
        kept = {layer: error for layer, calls in by_layer.items() if (error := self._try(layer, calls, self._absorb))}
        while self._retry(kept, by_layer):
            pass
        self._kept += [Kept(layer, str(error), error.cause) for layer, error in kept.items()]
        for path, module in named_modules(self._model):
            if norm_kind(module) is NormKind.BATCH and path not in by_layer:
                reason = "it is never called" if self._trace.complete else "its call could not be traced"
                self._kept.append(Kept(path, reason, reason))
        return Plan(tuple(self._folds), tuple(self._kept), dict(self._keep))

    def _retry(self, kept: dict[str, CannotFoldError], by_layer: Mapping[str, list[NormCall]]) -> bool:
        """Fold what can be folded now that others are: through them, or into the convolution beside."""
        before = len(kept)
        for layer in list(kept):
            if not all(self._try(layer, by_layer[layer], absorb) for absorb in (self._absorb, self._beside)):
                del kept[layer]
        return len(kept) < before

    def _try(self, layer: str, calls: list[NormCall], absorb: Absorb) -> CannotFoldError | None:
        """Fold a layer if it can be; otherwise the reason why not."""
        try:
            self._folds.append(self._fold(layer, calls, absorb))
        except CannotFoldError as error:
            return error
        except BaseException as error:
            if is_interruption(error) or not is_of_the_model(error):
                raise
            return CannotFoldError("code of the model raises where it is read: {}", described(error))
        self._gone.update(call.node for call in calls)
        return None

    def _fold(self, layer: str, calls: list[NormCall], absorb: Absorb) -> PlannedFold:
        if self._trace.how not in (How.RECORDED, How.RECORDED_WITH_VALUES):
            raise CannotFoldError("the model could not be recorded: {}", self._trace.reason)
        for call in calls:
            self._require_fixed_affine(call, frozenset(other.node for other in calls))
        if layer in self._keep:
            raise CannotFoldError(*self._keep[layer])
        wanted: list[Wanted] = []
        through: list[str] = []
        for call in calls:
            further, names = absorb(call)
            wanted += further
            through += names
        changes = agreed(wanted, self._uses)
        for change in changes:
            self._uses.require_no_hook_between(layer, change.carrier)
        if any(change.side is not Side.OUTPUT for change in changes):
            for call in calls:
                self._uses.require_unchanged_after(_input_of(call)[0], call.node)
        return PlannedFold(
            layer=layer,
            into=tuple(dict.fromkeys(change.carrier for change in changes)),
            through=tuple(dict.fromkeys(through)),
            changes=tuple(changes),
            remainder=remainder(calls[0], self._inside[layer]),
            aliases=self._aliases(layer),
        )

    def _aliases(self, layer: str) -> tuple[str, ...]:
        module = self._uses.module(layer)
        return tuple(path for path in self._paths[id(module)] if path != layer)

    def _require_fixed_affine(self, call: NormCall, calls: frozenset[fx.Node]) -> None:
        module = call.module
        if call.lowered:
            raise CannotFoldError(OF_A_GRAPH)
        if module is None:
            raise CannotFoldError(
                "{} calls it as a function, which only a graph can do without (--as graph)",
                call.node.meta.get("module") or "the model",
            )
        if not call.registered:
            raise CannotFoldError("it is not in the module tree")
        if call.uses_batch_statistics:
            if call.node.meta.get("training"):
                raise CannotFoldError("the model's own code makes it train during the forward")
            keeps = any(getattr(module, name, None) is not None for name in STATISTICS)
            always = (
                "its own code normalises by the batch in eval mode, too" if keeps else "it keeps no running statistics"
            )
            raise CannotFoldError(TRAINING_MODE if module.training else always)
        if call.uses_batch_statistics is None:
            raise CannotFoldError("what its class computes in code of its own could not be told")
        if call.node.meta.get("replaced"):
            raise CannotFoldError("it is called with other weights than its own")
        self._uses.require_own_tensors(call.layer, module, calls)
        if isinstance(module, _BatchNorm) and module.num_features == 0:
            raise CannotFoldError("its number of features is not known yet")
        for name in STATISTICS:  # a class with arithmetic of its own may do without one
            if not isinstance(getattr(module, name, None), Tensor):
                raise CannotFoldError("it has no {}, so what it computes is not known", name)
        eps = getattr(module, "eps", 1e-5)
        if not isinstance(eps, (Real, Tensor)):
            raise CannotFoldError("its eps is a {}, which is no number", type(eps).__name__)
        if guarded(lambda: float(eps), None) is None:
            raise CannotFoldError("its eps is no number that a float can hold")
        self._require_own_arguments(call, module)

    def _require_own_arguments(self, call: NormCall, module: nn.Module) -> None:
        """The forward of a subclass may call the function with other values than those of the layer."""
        if not call.arguments:
            return
        eps_differs = call.arguments.get("eps", 1e-5) != getattr(module, "eps", 1e-5)
        for name in ARGUMENTS:
            argument = call.arguments.get(name)
            value = self._trace.attributes.get(str(argument.target)) if isinstance(argument, fx.Node) else argument
            if eps_differs or value is not getattr(module, name, None):
                raise CannotFoldError(
                    "the forward of {} normalises with other values than those of the layer", type(module).__name__
                )

    def _absorb(self, call: NormCall) -> tuple[list[Wanted], list[str]]:
        """Upstream if possible, else downstream."""
        source, channels = _input_of(call)
        positive = self._has_positive_scale(call)
        try:
            return Upstream(self._trace, self._uses, self._gone, positive).absorb(call.node, source, 1, channels)
        except CannotFoldError as error:
            reason = error
        try:
            return Downstream(self._trace, self._uses, self._gone, positive).absorb(call.node, 1, channels)
        except CannotFoldError as error:
            raise reason.and_also(error) from None

    def _beside(self, call: NormCall) -> tuple[list[Wanted], list[str]]:
        source, channels = _input_of(call)
        return [Beside(self._trace, self._uses, self._gone).absorb_norm(call.node, source, channels)], []

    def _has_positive_scale(self, call: NormCall) -> bool:
        """Whether maxima stay where they are; not known for weights on the meta device."""
        if any(call.layer in fold.into for fold in self._folds):
            return False  # its scale is no longer that of its weight
        weight = getattr(call.module, "weight", None)
        return weight is None or (not weight.is_meta and bool((weight > 0).all()))


def _input_of(call: NormCall) -> tuple[fx.Node, Channels]:
    source, shape = call.input_node, call.input_shape
    if source is None or shape is None or len(shape) < 2:
        raise CannotFoldError("the shape of its input is not known")
    if any(step == 0 and size > 1 for step, size in zip(source.meta["val"].stride(), shape, strict=True)):
        raise CannotFoldError("its input is expanded, and its output could no longer be written to")
    return source, numpy.arange(shape[1])
