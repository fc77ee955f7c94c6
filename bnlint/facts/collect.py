"""Collects the fact table of an artifact and its trace."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor, fx, nn

from bnlint.artifacts.artifact import Artifact
from bnlint.facts.foldability import Foldability
from bnlint.facts.layers import NormLayer, configuration, find_layers, spatial_dims, tensors_of
from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.shape import shape_facts
from bnlint.facts.statistics import NormTensors, statistics_facts
from bnlint.facts.surroundings import Surroundings
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import Need
from bnlint.report import Location
from bnlint.tracing.exported import tensors_of_call
from bnlint.tracing.kinds import How, NormKind
from bnlint.tracing.norm_calls import module_uses_batch_statistics
from bnlint.tracing.norms import is_frozen_batch_norm
from bnlint.tracing.source import class_location
from bnlint.tracing.trace import NormCall, Trace

NO_TRACE = Trace(fx.Graph(), How.NONE)
"""The trace of a target without code."""


def collect(artifact: Artifact, trace: Trace, batch_size: int | None = None) -> FactTable:
    """Everything that the rules may know.

    Args:
        artifact: The target.
        trace: Its trace; `NO_TRACE` where there is nothing to run.
        batch_size: Declared training batch on each device, in samples.

    Returns:
        The fact table: records of calls in call order, then of the layers that were never called.
    """
    return _Collector(artifact, trace, batch_size).table()


_SHAPE_FACTS = (
    "input_shape",
    "channel_axis",
    "channel_axis_is_feature_axis",
    "values_per_sample",
    "values_per_channel",
)


class _Collector:
    def __init__(self, artifact: Artifact, trace: Trace, batch_size: int | None) -> None:
        self._artifact = artifact
        self._trace = trace
        self._batch_size = batch_size
        self._layers = find_layers(artifact)
        self._surroundings = Surroundings(trace)
        self._foldability = Foldability(artifact.module, trace)
        self._call_counts = Counter(call.layer for call in trace.norm_calls)
        self._of_layer: dict[str, dict[str, Any]] = {}

    def table(self) -> FactTable:
        norms = [self._of_call(call) for call in self._trace.norm_calls]
        norms += [self._uncalled(layer) for path, layer in self._layers.items() if path not in self._call_counts]
        return FactTable(self._model(), tuple(norms), self._available())

    def _available(self) -> frozenset[Need]:
        available = set()
        if self._artifact.module is not None:
            available.add(Need.MODULE)
            if self._artifact.mode_known:
                available.add(Need.MODE)
        if any(not tensor.is_meta for layer in self._layers.values() for tensor in layer.tensors.present().values()):
            available.add(Need.STATE)
        if self._trace.how is not How.NONE:
            available.add(Need.GRAPH)
        if self._batch_size is not None:
            available.add(Need.BATCH_SIZE)
        return frozenset(available)

    def _model(self) -> ModelFacts:
        module = self._artifact.module
        traced = self._trace.how is not How.NONE
        return ModelFacts(
            class_name=UNKNOWN if module is None else type(module).__name__,
            form=self._artifact.form,
            training=UNKNOWN if module is None or not self._artifact.mode_known else module.training,
            norm_layers=len(self._layers),
            batch_norm_layers=sum(layer.kind is NormKind.BATCH for layer in self._layers.values()),
            graph=str(self._trace.how),
            graph_reason=self._trace.reason,
            can_be_traced=module is not None or traced,
            norm_calls=len(self._trace.norm_calls) if traced else UNKNOWN,
            location=class_location(module) if module is not None else None,
        )

    def _of_call(self, call: NormCall) -> NormFacts:
        own = self._of_called(call)
        mode_known = self._artifact.mode_known and call.uses_batch_statistics is not None
        own = own | {"uses_batch_statistics": call.uses_batch_statistics if mode_known else UNKNOWN}
        return NormFacts(
            layer=call.layer,
            kind=str(call.kind),
            functional=call.functional,
            registered=call.registered,
            calls=self._call_counts[call.layer],
            fed_by=self._surroundings.fed_by(call),
            feeds=self._surroundings.feeds(call),
            identity_branch=self._surroundings.identity_branch(call),
            sequence_evidence=self._surroundings.sequence_evidence(call),
            location=call.location or self._class_location(call.layer),
            definition=self._class_location(call.layer),
            **self._foldability.facts(call.layer, call.kind),
            **shape_facts(call, self._trace.batch_size, self._batch_size),
            **own,
        )

    def _of_called(self, call: NormCall) -> dict[str, Any]:
        """The facts of the layer or function that is called."""
        if self._trace.how is How.EXPORTED:
            return self._of_operator(call)
        if call.module is None:
            return self._of_function(call)
        layer = self._layers.get(call.layer)
        return self._own(layer or NormLayer(call.layer, call.kind, call.module, tensors_of(call.module)))

    def _uncalled(self, layer: NormLayer) -> NormFacts:
        """A layer that the run did not call: with a complete graph that is a fact, otherwise nothing is known."""
        seen: dict[str, Any] = {"functional": False}
        if self._trace.how is not How.NONE and self._trace.complete:
            nothing: frozenset[str] = frozenset()
            seen |= {"calls": 0, "fed_by": nothing, "feeds": nothing, "sequence_evidence": nothing}
            seen["identity_branch"] = False
            seen |= dict.fromkeys(_SHAPE_FACTS)
        return NormFacts(
            layer=layer.path,
            kind=str(layer.kind),
            registered=UNKNOWN if layer.module is None else True,
            batch_size=UNKNOWN if self._batch_size is None else self._batch_size,
            location=self._class_location(layer.path),
            definition=self._class_location(layer.path),
            **self._foldability.facts(layer.path, layer.kind),
            **seen,
            **self._own(layer),
        )

    def _own(self, layer: NormLayer) -> dict[str, Any]:
        """The facts of a layer that do not depend on the call, worked out once."""
        if layer.path not in self._of_layer:
            self._of_layer[layer.path] = {**statistics_facts(layer.tensors), **self._of_module(layer)}
        return self._of_layer[layer.path]

    def _of_module(self, layer: NormLayer) -> dict[str, Any]:
        module = layer.module
        if module is None:
            return {}
        facts = {"class_name": type(module).__name__, "spatial_dims": spatial_dims(module), **configuration(module)}
        facts["learns_statistics"] = self._learns(module, layer.kind)
        return facts | self._mode(module.training, module_uses_batch_statistics(module, layer.kind))

    def _learns(self, module: nn.Module, kind: NormKind) -> bool:
        root = self._artifact.module
        held = self._artifact.mode_known and root is not None and root.training and not module.training
        return kind is NormKind.BATCH and not is_frozen_batch_norm(module) and not held

    def _mode(self, training: bool, uses_batch_statistics: bool | None) -> dict[str, Any]:
        root = self._artifact.module
        if not self._artifact.mode_known or root is None:
            return {}
        return {
            "training": training,
            "model_training": root.training,
            "uses_batch_statistics": UNKNOWN if uses_batch_statistics is None else uses_batch_statistics,
        }

    def _of_operator(self, call: NormCall) -> dict[str, Any]:
        """An operator of an exported program: its mode and numbers are arguments of the operator."""
        facts: dict[str, Any] = {**statistics_facts(NormTensors(**tensors_of_call(call, self._trace.attributes)))}
        layer = self._layers.get(call.layer)
        if layer is not None:
            facts |= self._own(layer)
        facts["eps"] = call.arguments.get("eps", UNKNOWN)
        if call.kind is NormKind.BATCH:
            facts["momentum"] = call.arguments.get("momentum", UNKNOWN)
        return facts

    def _of_function(self, call: NormCall) -> dict[str, Any]:
        """A function outside any normalisation layer: its arguments stand for the attributes of a layer."""
        tensors = NormTensors(**{
            name: value
            for name in ("running_mean", "running_var", "weight", "bias")
            if isinstance(value := self._value(call.arguments.get(name)), Tensor)
        })  # fmt: skip
        owner = self._owner(call.layer)
        facts: dict[str, Any] = {**statistics_facts(tensors), "class_name": getattr(call.node.target, "__name__", "")}
        facts["spatial_dims"] = None
        facts["momentum"] = call.arguments.get("momentum")
        facts["learns_statistics"] = True if call.uses_batch_statistics else UNKNOWN
        facts["eps"] = call.arguments.get("eps", 1e-5)
        return facts | (self._mode(owner.training, call.uses_batch_statistics) if owner is not None else {})

    def _value(self, argument: object) -> object:
        if isinstance(argument, fx.Node) and argument.op == "get_attr":
            return self._trace.attributes.get(str(argument.target))
        return None

    def _owner(self, path: str) -> nn.Module | None:
        root = self._artifact.module
        try:
            return root.get_submodule(path) if root is not None else None
        except AttributeError:  # a module outside the module tree
            return root

    def _class_location(self, path: str) -> Location | None:
        """Where the class of the nearest enclosing module outside torch is defined."""
        module = self._artifact.module
        if module is None:
            return None
        while True:
            owner = self._owner(path)
            found = class_location(owner) if owner is not None else None
            if found is not None or not path:
                return found
            path = path.rpartition(".")[0]
