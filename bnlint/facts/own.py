"""The facts of a layer, an operator or a function by itself, whatever surrounds the call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from torch import fx, nn

from bnlint.artifacts.artifact import Artifact
from bnlint.facts.gains import Arithmetic, NumberFacts, gain_facts, number_facts
from bnlint.facts.layers import (
    NormLayer,
    computes_by_hand,
    configuration,
    find_layers,
    layers_called,
    norm_tensors,
    spatial_dims,
    tensors_of,
)
from bnlint.facts.mode import ignores_eval
from bnlint.facts.numbers import Numbers
from bnlint.facts.statistics import NormTensors, ranges_of
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.tracing.exported import tensors_of_call
from bnlint.tracing.kinds import How, NormKind
from bnlint.tracing.norm_calls import module_uses_batch_statistics
from bnlint.tracing.norms import is_frozen_batch_norm
from bnlint.tracing.scripted import baked_training
from bnlint.tracing.trace import NormCall, Trace

_NOT_TOLD_APART: Final = Numbers("float32", None, None, parameter=True)
"""Stands for the scale of a layer whose tensors are somewhere among those of its parts."""


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
        self.layers: Mapping[str, NormLayer] = find_layers(artifact) if artifact.onnx is None else layers_called(trace)
        self._numbers = {path: self._numbers_of(layer) for path, layer in self.layers.items()}
        self._some_call_trains = any(
            call.kind is NormKind.BATCH and call.uses_batch_statistics for call in trace.norm_calls
        )
        self._of_layer: dict[str, dict[str, Any]] = {}

    @property
    def numbers(self) -> Iterable[NumberFacts]:
        """The statistics of each layer."""
        return self._numbers.values()

    @property
    def model_training(self) -> Maybe[bool]:
        """The training flag of the root module."""
        module = self._artifact.module
        return module.training if module is not None and self._artifact.mode_known else UNKNOWN

    def of_called(self, call: NormCall) -> dict[str, Any]:
        """The facts of the layer, operator or function that is called, by field name of `NormFacts`."""
        if self._trace.how is How.EXPORTED:
            return self._of_operator(call)
        if call.module is None:
            return self._of_function(call)
        layer = self.layers.get(call.layer)
        return self.of_layer(layer or NormLayer(call.layer, call.kind, call.module, tensors_of(call.module)))

    def of_layer(self, layer: NormLayer) -> dict[str, Any]:
        """The facts of a layer that do not depend on the call, worked out once."""
        if layer.path not in self._of_layer:
            numbers = self._numbers.get(layer.path) or self._numbers_of(layer)
            self._of_layer[layer.path] = {**numbers, **self._of_module(layer)}
        return self._of_layer[layer.path]

    def owner(self, path: str) -> nn.Module | None:
        """The module at a path; the root for one outside the module tree, `None` without a live model."""
        root = self._artifact.module
        try:
            return root.get_submodule(path) if root is not None else None
        except (AttributeError, RuntimeError):  # a module outside the module tree, or TorchScript
            return root

    def _numbers_of(self, layer: NormLayer) -> NumberFacts:
        eps: Maybe[float | None] = UNKNOWN
        by_hand = False
        if layer.module is not None:
            eps, by_hand = configuration(layer.module)["eps"], computes_by_hand(layer.module)
        return number_facts(layer.tensors, Arithmetic(eps, by_hand, self._deploy_dtype))

    def _of_module(self, layer: NormLayer) -> dict[str, Any]:
        module = layer.module
        if module is None:
            return {}
        facts = {"class_name": type(module).__name__, "spatial_dims": spatial_dims(module), **configuration(module)}
        frozen = is_frozen_batch_norm(module)
        facts["learns_statistics"] = self._learns(layer.kind, frozen, module.training)
        uses = module_uses_batch_statistics(module, layer.kind)
        if baked_training(module) is None:
            return facts | self._mode(module.training, uses, layer.kind)
        facts["mixes_samples"] = True  # a traced layer normalises its input as it comes
        return facts | self._mode(None, uses, layer.kind)

    def _learns(self, kind: NormKind, frozen: bool, training: bool) -> bool:
        held = self.model_training is True and not training
        return kind is NormKind.BATCH and not frozen and not held

    def _mode(self, training: bool | None, uses_batch_statistics: bool | None, kind: NormKind) -> dict[str, Any]:
        if self.model_training is UNKNOWN:
            return {}
        uses: Maybe[bool] = UNKNOWN if uses_batch_statistics is None else uses_batch_statistics
        return {
            "training": training,
            "model_training": self.model_training,
            "uses_batch_statistics": uses,
            "ignores_eval": ignores_eval(kind, uses, training),
        }

    def _of_operator(self, call: NormCall) -> dict[str, Any]:
        """An operator of an exported program: its mode and numbers are arguments of the operator."""
        tensors = norm_tensors(tensors_of_call(call, self._trace.attributes))
        arithmetic = Arithmetic(call.arguments.get("eps", UNKNOWN), deployed_in=self._deploy_dtype)
        facts: dict[str, Any] = {**number_facts(tensors, arithmetic)}
        if call.node.meta.get("tensors_unknown"):
            facts |= {**number_facts(NormTensors(weight=_NOT_TOLD_APART), arithmetic), "affine": UNKNOWN}
        layer = self.layers.get(call.layer)
        if layer is not None:
            facts |= {**self.of_layer(layer), **gain_facts(layer.tensors, ranges_of(layer.tensors), arithmetic)}
        facts |= {"training": None, "model_training": None, "learns_statistics": self._program_learns(call, tensors)}
        facts["eps"] = arithmetic.eps
        if call.kind is NormKind.BATCH:
            facts["momentum"] = call.arguments.get("momentum", UNKNOWN)
        return facts

    def _program_learns(self, call: NormCall, tensors: NormTensors) -> bool:
        """As `_learns`: a frozen class keeps its scale in a buffer, and a layer is held where only others train."""
        frozen = tensors.weight is not None and not tensors.weight.parameter
        held = self._some_call_trains and not call.uses_batch_statistics
        return call.kind is NormKind.BATCH and not frozen and not held

    def _of_function(self, call: NormCall) -> dict[str, Any]:
        """A function outside any normalisation layer: its arguments stand for the attributes of a layer."""
        names = ("running_mean", "running_var", "weight", "bias")
        tensors = norm_tensors({name: self._value(call.arguments.get(name)) for name in names})
        owner = self.owner(call.layer)
        arithmetic = Arithmetic(call.arguments.get("eps", 1e-5), deployed_in=self._deploy_dtype)
        facts: dict[str, Any] = {**number_facts(tensors, arithmetic)}
        facts |= {"class_name": getattr(call.node.target, "__name__", ""), "synchronised": False}
        facts["parameters_frozen"] = None
        facts["spatial_dims"] = None
        facts["momentum"] = call.arguments.get("momentum")
        facts["learns_statistics"] = True if call.uses_batch_statistics else UNKNOWN
        facts["eps"] = arithmetic.eps
        return facts | (self._mode(owner.training, call.uses_batch_statistics, call.kind) if owner is not None else {})

    def _value(self, argument: object) -> object:
        if isinstance(argument, fx.Node) and argument.op == "get_attr":
            return self._trace.attributes.get(str(argument.target))
        return None
