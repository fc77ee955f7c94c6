"""The facts of a layer, an operator or a function by itself, whatever surrounds the call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from torch import nn

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.user_code import described
from bnlint.facts.configuration import number
from bnlint.facts.gains import Arithmetic, GainFacts, gain_facts, number_facts
from bnlint.facts.layers import (
    NormLayer,
    find_layers,
    inlined_layers,
    layers_called,
    live_layer,
    norm_tensors,
)
from bnlint.facts.mode import learns_statistics, mode_facts
from bnlint.facts.numbers import Numbers
from bnlint.facts.other_names import without_other_names
from bnlint.facts.statistics import NormTensors, StatisticsFacts, ranges_of
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.interruption import pass_on
from bnlint.norms.classes import (
    computes_by_hand,
    has_torch_forward,
    is_frozen_batch_norm,
    module_uses_batch_statistics,
)
from bnlint.norms.kinds import WITH_STATISTICS, NormKind
from bnlint.norms.tensors import STATISTICS
from bnlint.tracing.exported import tensors_of_call
from bnlint.tracing.inlined import has_generated_code
from bnlint.tracing.kinds import How
from bnlint.tracing.live import submodule
from bnlint.tracing.scripted import baked_training
from bnlint.tracing.trace import NormCall, Trace
from bnlint.user_objects import guarded, is_set

_SOMEWHERE: Final = Numbers("float32", None, None, parameter=True)
"""Stands for a tensor of a layer whose tensors are somewhere among those of its parts."""


class OwnFacts:
    """Answers what is true of each layer by itself, each layer once.

    Args:
        artifact: The target.
        trace: Its trace.
        deploy_dtype: The declared data type of deployment.
    """

    def __init__(self, artifact: Artifact, trace: Trace, deploy_dtype: str | None) -> None:
        self._artifact = artifact
        self._trace = trace
        self._deploy_dtype = deploy_dtype
        self.layers: Mapping[str, NormLayer] = layers_called(trace)
        if artifact.onnx is None:
            called = {call.layer for call in trace.norm_calls}
            self.layers = without_other_names(find_layers(artifact), artifact, called) | inlined_layers(artifact, trace)
        self.unread: dict[str, str] = {}
        self._numbers = {path: self._read(layer, self._numbers_of) for path, layer in self.layers.items()}
        self._some_call_trains = any(
            call.kind is NormKind.BATCH and call.uses_batch_statistics and call.arguments.get(STATISTICS[0]) is not None
            for call in trace.norm_calls
        )
        self._of_layer: dict[str, dict[str, Any]] = {}

    @property
    def numbers(self) -> Iterable[Mapping[str, Any]]:
        """The statistics of each layer, those in an ONNX file that are not told apart among them."""
        hidden = {
            call.layer: number_facts(_not_told_apart(call.kind), Arithmetic(UNKNOWN))
            for call in self._trace.norm_calls
            if call.node.meta.get("tensors_unknown")
        }
        return [*self._numbers.values(), *hidden.values()]

    @property
    def model_training(self) -> Maybe[bool]:
        """The training flag of the root module."""
        module = self._artifact.module
        if module is None or not self._artifact.mode_known:
            return UNKNOWN
        nothing: Maybe[bool] = UNKNOWN
        return guarded(lambda: bool(module.training), nothing)

    def of_called(self, call: NormCall) -> dict[str, Any]:
        """The facts of the layer, operator or function that is called, by field name of `NormFacts`."""
        if self._trace.how is How.EXPORTED or call.inlined:
            return self._of_operator(call)
        if call.module is None:
            return self._of_function(call)
        return self.of_layer(self.layers.get(call.layer) or live_layer(call.layer, call.kind, call.module))

    def of_layer(self, layer: NormLayer) -> dict[str, Any]:
        """The facts of a layer that do not depend on the call, worked out once."""
        if layer.path not in self._of_layer:
            numbers = self._numbers.get(layer.path) or self._read(layer, self._numbers_of)
            facts = {**numbers, **self._read(layer, self._of_module)}
            self._of_layer[layer.path] = facts if layer.path not in self.unread else _unknown_of(layer)
        return self._of_layer[layer.path]

    def _read(self, layer: NormLayer, look: Callable[[NormLayer], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What a look at a layer gives; unknown where the layer's own code raises, which is remembered."""
        if layer.unread:
            self.unread[layer.path] = layer.unread
        if layer.path not in self.unread:
            try:
                return look(layer)
            except BaseException as error:
                pass_on(error)
                if layer.module is None:
                    raise
                self.unread[layer.path] = described(error)
        return _unknown_of(layer)

    def owner(self, path: str) -> nn.Module | None:
        """The module at a path; the root for one outside the module tree, `None` without a live model."""
        root = self._artifact.module
        try:
            return submodule(root, path) if root is not None else None
        except KeyError:  # a module outside the module tree
            return root

    def _numbers_of(self, layer: NormLayer) -> Mapping[str, Any]:
        eps = UNKNOWN if layer.configuration is None else layer.configuration["eps"]
        by_hand = layer.module is not None and computes_by_hand(layer.module)
        return number_facts(layer.tensors, Arithmetic(eps, by_hand, self._deploy_dtype))

    def _of_module(self, layer: NormLayer) -> dict[str, Any]:
        module = layer.module
        if module is None or layer.configuration is None:
            return {}
        facts: dict[str, Any] = {**layer.configuration}
        facts["learns_statistics"] = learns_statistics(
            layer.kind,
            frozen=is_frozen_batch_norm(module),
            training=bool(module.training),
            model_training=self.model_training,
        )
        if layer.tensors.missing_statistic is not None and not has_torch_forward(module):
            facts["missing_statistic"] = UNKNOWN  # a class that normalises in its own way may need one alone
        training: bool | None = bool(module.training)
        baked = baked_training(module)
        if baked is not None:
            if layer.tensors.running_mean is not None:  # without statistics every mode is the same
                training = None
            if layer.kind is NormKind.BATCH:
                facts["mixes_samples"] = True  # a traced layer normalises its input as it comes
        uses = module_uses_batch_statistics(module, layer.kind, baked)
        return {**facts, **mode_facts(layer.kind, training, self.model_training, uses)}

    def _of_operator(self, call: NormCall) -> dict[str, Any]:
        """An operator of a program, or of a graph that is live: its mode and numbers are arguments of the operator."""
        tensors = norm_tensors(tensors_of_call(call, self._trace.attributes))
        arithmetic = Arithmetic(_number(call.arguments.get("eps", UNKNOWN)), deployed_in=self._deploy_dtype)
        facts: dict[str, Any] = {**number_facts(tensors, arithmetic)}
        if call.node.meta.get("tensors_unknown"):
            facts |= {**number_facts(_not_told_apart(call.kind), arithmetic), "affine": UNKNOWN, "dtype": UNKNOWN}
            facts |= {"has_running_statistics": UNKNOWN} if call.kind in WITH_STATISTICS else {}
        elif tensors.weight is not None and tensors.weight.shape is None:
            facts["affine"] = UNKNOWN  # ONNX takes a scale always: this one may be made of ones
        layer = self.layers.get(call.layer)
        if layer is not None:
            facts |= {**self.of_layer(layer), **gain_facts(layer.tensors, ranges_of(layer.tensors), arithmetic)}
        facts |= {"training": None, "model_training": None, "learns_statistics": self._program_learns(call, tensors)}
        facts["eps"] = arithmetic.eps
        facts["momentum"] = _momentum_of(call)
        facts["missing_statistic"] = None  # a call takes both or neither, but one that is computed is not seen
        return facts

    def _program_learns(self, call: NormCall, tensors: NormTensors) -> Maybe[bool]:
        """As `learns_statistics`: a frozen class keeps its scale in a buffer.

        Where only some layers train, the others may have been held in eval mode, or these forgotten in training mode.
        """
        frozen = tensors.weight is not None and not tensors.weight.parameter
        if call.kind is not NormKind.BATCH or frozen:
            return False
        undecided = self._some_call_trains or call.functional or call.node.meta.get("tensors_unknown")
        return UNKNOWN if undecided and not call.uses_batch_statistics else True

    def _of_function(self, call: NormCall) -> dict[str, Any]:
        """A function outside any normalisation layer: its arguments stand for the attributes of a layer."""
        tensors = norm_tensors(tensors_of_call(call, self._trace.attributes))
        owner = self.owner(call.layer)
        arithmetic = Arithmetic(_number(call.arguments.get("eps", 1e-5)), deployed_in=self._deploy_dtype)
        facts: dict[str, Any] = {**number_facts(tensors, arithmetic)}
        facts |= {"class_name": getattr(call.node.target, "__name__", ""), "synchronised": False}
        facts["parameters_frozen"] = None
        facts["spatial_dims"] = None
        facts["momentum"] = call.arguments.get("momentum")
        facts["learns_statistics"] = True if call.uses_batch_statistics else UNKNOWN
        facts["eps"] = arithmetic.eps
        facts["missing_statistic"] = None  # as of an operator
        if owner is None:
            return facts
        flag = None if has_generated_code(owner) else is_set(owner, "training")  # the mode is a constant of such code
        return {**facts, **mode_facts(call.kind, flag, self.model_training, call.uses_batch_statistics)}


def _unknown_of(layer: NormLayer) -> dict[str, Any]:
    """The facts of a layer that cannot be read: its class, and what others ask of the numbers of each layer."""
    names = (*StatisticsFacts.__annotations__, *GainFacts.__annotations__)
    return {"class_name": type(layer.module).__name__, **dict.fromkeys(names, UNKNOWN)}


def _number(argument: object) -> Maybe[float | None]:
    """An argument of a call as a number; unknown where it is computed, or larger than a float can be."""
    return UNKNOWN if argument is not None and number(argument) is None else number(argument)


def _momentum_of(call: NormCall) -> Maybe[float | None]:
    """The momentum of an operator of a program; `None` where its kind has none.

    In eval mode torch writes 0 for a cumulative average, as for a momentum of 0.
    """
    if call.kind not in WITH_STATISTICS:
        return None
    momentum: Maybe[float | None] = call.arguments.get("momentum", UNKNOWN)
    return UNKNOWN if momentum == 0 and not call.uses_batch_statistics else momentum


def _not_told_apart(kind: NormKind) -> NormTensors:
    """The tensors that a layer of that kind can have, none of them known."""
    statistics = _SOMEWHERE if kind in WITH_STATISTICS else None
    shift = None if kind is NormKind.RMS else _SOMEWHERE
    return NormTensors(running_mean=statistics, running_var=statistics, weight=_SOMEWHERE, bias=shift)
