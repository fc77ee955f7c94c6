"""Collects the fact table of a model, or of weights, read as data: nothing is traced, and torch is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.saved import Saved
from bnlint.artifacts.weight_folders import is_shard
from bnlint.facts import saved_layers
from bnlint.facts.advice import advice_for
from bnlint.facts.comparison import Comparison
from bnlint.facts.file_calls import file_calls
from bnlint.facts.gains import Arithmetic, NumberFacts, number_facts
from bnlint.facts.mode import ignores_eval, learns_statistics, mode_facts
from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.saved_layers import SavedNormLayer, saved_norm_layers
from bnlint.facts.setup import TrainingSetup, setup_facts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import Need
from bnlint.norms.kinds import NormKind
from bnlint.report import Location
from bnlint.tracing.kinds import How
from bnlint.tracing.saved_source import relative_by_name


@numpy.errstate(all="ignore")  # the numbers of a file may be of any size: facts tell of it, not a warning
def collect_saved(artifact: Artifact, saved: Saved, setup: TrainingSetup, deploy_dtype: str | None = None) -> FactTable:
    """Everything that the rules may know of a file.

    Args:
        artifact: The target.
        saved: What was read of it.
        setup: The declared training set-up.
        deploy_dtype: The declared data type of deployment.

    Returns:
        The fact table: a record for each normalisation layer, in the order of the file.
    """
    layers = saved_norm_layers(saved)
    numbers = [_numbers(layer, deploy_dtype) for layer in layers]
    comparison = Comparison(numbers)
    root = saved.modules[0].training if saved.modules else None
    part = not saved.modules and is_shard(artifact.target)
    declared = setup_facts(setup)
    records = []
    for layer, own in zip(layers, numbers, strict=True):
        records.append(
            NormFacts(
                layer=layer.path,
                kind=UNKNOWN if layer.kind is None else str(layer.kind),
                functional=False,
                registered=UNKNOWN if layer.module is None else True,
                location=_location(saved, layer.path),
                **_folding(layer.kind),
                **declared,
                **comparison.facts(own, among_them=True),
                **{**own, **saved_layers.statistics_unknown(layer, part=part)},
                **_of_module(layer, root, saved),
            )
        )
    available = _available(saved, layers) | setup.declared
    return FactTable(_model(artifact, saved, layers), tuple(records), available, advice_for(artifact))


def _model(artifact: Artifact, saved: Saved, layers: Sequence[SavedNormLayer]) -> ModelFacts:
    root = saved.modules[0] if saved.modules else None
    kinds = [layer.kind for layer in layers]
    return ModelFacts(
        class_name=UNKNOWN if root is None else root.class_name,
        form=artifact.form,
        training=UNKNOWN if root is None or root.training is None else root.training,
        norm_layers=len(layers),
        batch_norm_layers=UNKNOWN if None in kinds else kinds.count(NormKind.BATCH),
        graph=str(How.NONE),
        can_be_traced=False,
        **file_calls(saved),
    )


def _available(saved: Saved, layers: Sequence[SavedNormLayer]) -> frozenset[Need]:
    available = {Need.MODULE, Need.MODE} if saved.modules else set()
    if any(numbers.read for layer in layers for numbers in layer.tensors.present.values()):
        available.add(Need.STATE)
    return frozenset(available)


def _numbers(layer: SavedNormLayer, deploy_dtype: str | None) -> NumberFacts:
    arithmetic = Arithmetic(UNKNOWN, deployed_in=deploy_dtype)
    if layer.module is not None:
        eps = UNKNOWN if layer.configuration is None else layer.configuration["eps"]
        arithmetic = Arithmetic(eps, saved_layers.computes_by_hand(layer.module), deploy_dtype)
    facts = number_facts(layer.tensors, arithmetic)
    for numbers in layer.tensors.present.values():
        numbers.forget()
    return facts


def _of_module(layer: SavedNormLayer, root_training: bool | None, saved: Saved) -> dict[str, Any]:
    """What the attributes of the module say; its mode only where its flag is there, or its code fixes it."""
    module = layer.module
    if module is None or layer.kind is None or layer.configuration is None:
        return {}
    facts: dict[str, Any] = {**layer.configuration}
    baked = saved.baked_training.get(layer.path)
    if baked is not None and layer.kind is NormKind.BATCH:
        facts["mixes_samples"] = True  # the layer of a program normalises its input as it comes
    if module.training is None or root_training is None:
        if baked is None:
            return facts
        # A frozen program has no flags; what its code fixes, it says.
        ignores = ignores_eval(layer.kind, baked, None)
        return {**facts, "training": None, "uses_batch_statistics": baked, "ignores_eval": ignores}
    facts["learns_statistics"] = learns_statistics(
        layer.kind, frozen=saved_layers.is_frozen(module), training=module.training, model_training=root_training
    )
    keeps = layer.tensors.running_mean is not None  # without statistics every mode is the same
    if keeps and layer.path in saved.untold_modes and not baked:
        return {**facts, "training": module.training, "model_training": root_training}
    training: bool | None = module.training
    uses = saved_layers.saved_uses_batch_statistics(module, layer.kind)
    if keeps and baked is not None:
        training, uses = None, baked
    return {**facts, **mode_facts(layer.kind, training, root_training, uses)}


def _location(saved: Saved, layer: str) -> Location | None:
    """Where a program says that the layer was called; its file is not opened."""
    line = saved.lines.get(layer)
    return None if line is None else Location(relative_by_name(line.file), line.line, line.function)


def _folding(kind: NormKind | None) -> dict[str, Any]:
    """Other kinds than BatchNorm are never folded, nor mix samples; of BatchNorm only a graph tells."""
    if kind is None or kind is NormKind.BATCH:
        return {}
    return {"foldable": None, "folds_into": frozenset(), "fold_obstacle": None, "mixes_samples": None}
