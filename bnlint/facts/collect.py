"""Collects the fact table of an artifact and its trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy
from torch import fx

from bnlint.artifacts.artifact import Artifact
from bnlint.facts.advice import advice_for
from bnlint.facts.axes import KnownFeatures
from bnlint.facts.bias import Biases
from bnlint.facts.comparison import Comparison
from bnlint.facts.dropout import DropoutBefore, dropouts_ignoring_eval, why_dropouts_unknown
from bnlint.facts.file_calls import file_calls
from bnlint.facts.flow import Flow
from bnlint.facts.foldability import Foldability
from bnlint.facts.layers import NormLayer, layers_read
from bnlint.facts.mode import ignores_eval
from bnlint.facts.observed import Observed
from bnlint.facts.onnx_export import batch_norms_exported_in_training, dropout_before, left_in_onnx
from bnlint.facts.own import OwnFacts
from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.samples import Samples
from bnlint.facts.setup import TrainingSetup, setup_facts
from bnlint.facts.shape import shape_facts
from bnlint.facts.streams import streams_by_layer
from bnlint.facts.surroundings import Surroundings
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Need
from bnlint.norms.kinds import NormKind
from bnlint.report import Location
from bnlint.running.observations import NOTHING, Observations
from bnlint.tracing.kinds import How
from bnlint.tracing.source import class_location
from bnlint.tracing.trace import NormCall, Trace

NO_TRACE = Trace(fx.Graph(), How.NONE)
"""The trace of a target without code."""


NOTHING_DECLARED = TrainingSetup()
"""The training set-up of a user who says nothing of it."""


@numpy.errstate(all="ignore")  # as `collect_saved`
def collect(
    artifact: Artifact,
    trace: Trace,
    setup: TrainingSetup = NOTHING_DECLARED,
    deploy_dtype: str | None = None,
    observations: Observations = NOTHING,
) -> FactTable:
    """Everything that the rules may know.

    Args:
        artifact: The target.
        trace: Its trace; `NO_TRACE` where there is nothing to run.
        setup: The declared training set-up.
        deploy_dtype: The declared data type of deployment.
        observations: What running a copy of the model showed.

    Returns:
        The fact table: records of calls in call order, then of the layers that were never called.
    """
    return _Collector(artifact, trace, setup, deploy_dtype, observations).table()


_SHAPE_FACTS = (
    "input_shape",
    "channel_axis",
    "channel_axis_is_feature_axis",
    "as_many_channels_as_features",
    "values_per_sample",
    "values_per_channel",
    "values_in_last_batch",
    "traffic_megabytes",
)


class _Collector:
    def __init__(
        self,
        artifact: Artifact,
        trace: Trace,
        setup: TrainingSetup,
        deploy_dtype: str | None,
        observations: Observations,
    ) -> None:
        self._artifact = artifact
        self._trace = trace
        self._setup = setup
        self._observed = Observed(observations, trace.how is How.EXPORTED)
        self._own = OwnFacts(artifact, trace, deploy_dtype)
        self._layers = self._own.layers
        self._comparison = Comparison(list(self._own.numbers))
        flow = Flow(trace.graph)
        self._surroundings = Surroundings(trace, flow)
        self._dropout = DropoutBefore(trace, flow, artifact.module)
        self._biases = Biases(trace, flow)
        self._samples = Samples(flow, trace.batch_size)
        self._streams = streams_by_layer(trace, flow)
        self._foldability = Foldability(artifact, trace)
        self._call_counts = Counter(call.layer for call in trace.norm_calls)
        self._read = layers_read(trace)
        self._features: KnownFeatures = {}
        self._class_locations: dict[str, Location | None] = {}

    def table(self) -> FactTable:
        norms = [self._of_call(call) for call in self._trace.norm_calls]
        norms += [self._uncalled(layer) for path, layer in self._layers.items() if path not in self._call_counts]
        model = self._model(norms)
        reasons = self._observed.reasons | why_dropouts_unknown(self._trace, model.dropouts_ignoring_eval)
        advice = advice_for(self._artifact, self._trace.advice)
        return FactTable(model, tuple(norms), self._available(), advice, reasons, dict(self._own.unread))

    def _available(self) -> frozenset[Need]:
        available = set()
        if self._artifact.module is not None:
            available.add(Need.CODE)
            available.add(Need.MODULE)
            if self._artifact.mode_known:
                available.add(Need.MODE)
        if self._artifact.live_program is not None:
            available.add(Need.CODE)
        if any(numbers.read for layer in self._layers.values() for numbers in layer.tensors.present.values()):
            available.add(Need.STATE)
        if self._trace.how is not How.NONE:
            available.add(Need.GRAPH)
        return frozenset(available) | self._setup.declared | self._observed.available

    def _model(self, norms: Sequence[NormFacts]) -> ModelFacts:
        module = self._artifact.module
        traced = self._trace.how is not How.NONE
        kinds = self._kinds()
        return ModelFacts(
            class_name=UNKNOWN if module is None else type(module).__name__,
            form=self._artifact.form,
            training=self._model_mode(),
            dropouts_ignoring_eval=dropouts_ignoring_eval(self._trace, module, self._artifact.mode_known),
            norm_layers=len(kinds),
            batch_norm_layers=sum(kind is NormKind.BATCH for kind in kinds.values()),
            graph=str(self._trace.how),
            graph_reason=self._trace.reason,
            can_be_traced=module is not None or traced,
            norm_calls=len(self._trace.norm_calls) if traced and self._trace.all_norms_seen else UNKNOWN,
            batch_norms_exported_in_training=batch_norms_exported_in_training(self._artifact.onnx),
            **file_calls(self._artifact.saved, self._artifact.weights_saved),
            **self._observed.model(norms),
            location=class_location(module) if module is not None else None,
        )

    def _kinds(self) -> dict[str, NormKind]:
        """The kind of each layer; a program shows by its calls those that the names of its weights do not."""
        kinds = {path: layer.kind for path, layer in self._layers.items()}
        if self._trace.how is How.EXPORTED:
            kinds |= {call.layer: call.kind for call in self._trace.norm_calls if not call.functional}
        return kinds

    def _model_mode(self) -> Maybe[bool | None]:
        """The training flag of the root module; an exported program has none."""
        return None if self._trace.how is How.EXPORTED else self._own.model_training

    def _of_call(self, call: NormCall) -> NormFacts:
        own = self._own.of_called(call)
        is_constant = own.get("training", UNKNOWN) is None  # of the program, whoever set the flags
        mode_known = (self._artifact.mode_known or is_constant) and call.uses_batch_statistics is not None
        own = own | {"uses_batch_statistics": call.uses_batch_statistics if mode_known else UNKNOWN}
        ignores = ignores_eval(call.kind, own["uses_batch_statistics"], own.get("training", UNKNOWN))
        own = own | {"ignores_eval": ignores, "mixes_samples": self._samples.mixes(call)}
        shape = shape_facts(call, self._trace.batch_size, self._setup, self._features)
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
            dropout_before=dropout_before(self._artifact.onnx, self._dropout.of(call)),
            bias_before=self._biases.before(call, shape.get("channel_axis", UNKNOWN)),
            left_in_onnx=left_in_onnx(self._artifact.onnx, call),
            streams=self._streams[call.layer],
            location=call.location or self._class_location(call.layer),
            definition=self._class_location(call.layer),
            **self._foldability.facts(call.layer, call.kind),
            **self._observed.norm(call.layer, call.kind),
            **shape,
            **self._comparison.facts(own, among_them=call.layer in self._layers),
            **own,
        )

    def _uncalled(self, layer: NormLayer) -> NormFacts:
        """A layer that the run did not call: with a complete graph that is a fact, otherwise nothing is known."""
        seen: dict[str, Any] = {"functional": False}
        read = layer.module is None and layer.path in self._read  # its arithmetic is there, and no call of it
        if self._trace.how is not How.NONE and self._trace.complete and not read:
            nothing: frozenset[str] = frozenset()
            seen |= {"calls": 0, "fed_by": nothing, "feeds": nothing, "sequence_evidence": nothing}
            seen |= {"identity_branch": False, "dropout_before": 0.0, "bias_before": nothing, "streams": 0}
            seen |= dict.fromkeys(_SHAPE_FACTS)
        own = self._own.of_layer(layer)
        return NormFacts(
            layer=layer.path,
            kind=str(layer.kind),
            registered=UNKNOWN if layer.module is None else True,
            location=self._class_location(layer.path),
            definition=self._class_location(layer.path),
            **self._foldability.facts(layer.path, layer.kind),
            **self._observed.norm(layer.path, layer.kind),
            **setup_facts(self._setup),
            **seen,
            **self._comparison.facts(own, among_them=True),
            **own,
        )

    def _class_location(self, path: str) -> Location | None:
        """Where the class of the nearest enclosing module outside torch is defined; each module is asked once."""
        if self._artifact.module is None:
            return None
        if path not in self._class_locations:
            owner = self._own.owner(path)
            found = class_location(owner) if owner is not None else None
            if found is None and path:
                found = self._class_location(path.rpartition(".")[0])
            self._class_locations[path] = found
        return self._class_locations[path]
