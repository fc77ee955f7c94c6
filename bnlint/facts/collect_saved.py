"""Collects the fact table of a model, or of weights, read as data: nothing is traced, and torch is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.saved import Saved
from bnlint.facts import saved_layers
from bnlint.facts.comparison import Comparison
from bnlint.facts.file_calls import file_calls
from bnlint.facts.gains import Arithmetic, NumberFacts, number_facts
from bnlint.facts.mode import ignores_eval
from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.saved_layers import SavedNormLayer, saved_norm_layers
from bnlint.facts.setup import TrainingSetup, setup_facts
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Need
from bnlint.tracing.kinds import How, NormKind


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
    records = []
    for layer, own in zip(layers, numbers, strict=True):
        records.append(
            NormFacts(
                layer=layer.path,
                kind=str(layer.kind),
                functional=False,
                registered=UNKNOWN if layer.module is None else True,
                **_folding(layer.kind),
                **setup_facts(setup),
                **own,
                **comparison.facts(own, among_them=True),
                **_of_module(layer, root, saved.baked_training.get(layer.path)),
            )
        )
    return FactTable(_model(artifact, saved, layers), tuple(records), _available(saved, layers) | setup.declared)


def _model(artifact: Artifact, saved: Saved, layers: Sequence[SavedNormLayer]) -> ModelFacts:
    root = saved.modules[0] if saved.modules else None
    return ModelFacts(
        class_name=UNKNOWN if root is None else saved_layers.class_name(root),
        form=artifact.form,
        training=UNKNOWN if root is None or root.training is None else root.training,
        norm_layers=len(layers),
        batch_norm_layers=sum(layer.kind is NormKind.BATCH for layer in layers),
        graph=str(How.NONE),
        can_be_traced=False,
        **file_calls(saved),
    )


def _available(saved: Saved, layers: Sequence[SavedNormLayer]) -> frozenset[Need]:
    available = {Need.MODULE, Need.MODE} if saved.modules else set()
    if any(numbers.read for layer in layers for numbers in layer.tensors.present().values()):
        available.add(Need.STATE)
    return frozenset(available)


def _numbers(layer: SavedNormLayer, deploy_dtype: str | None) -> NumberFacts:
    if layer.module is None:
        return number_facts(layer.tensors, Arithmetic(UNKNOWN, deployed_in=deploy_dtype))
    eps = saved_layers.configuration(layer.module)["eps"]
    return number_facts(layer.tensors, Arithmetic(eps, saved_layers.computes_by_hand(layer.module), deploy_dtype))


def _of_module(layer: SavedNormLayer, root_training: bool | None, baked: bool | None) -> dict[str, Any]:
    """What the attributes of the module say; its mode only where its flag is there, or its code fixes it."""
    module = layer.module
    if module is None:
        return {}
    facts = saved_layers.configuration(module)
    if module.training is None or root_training is None:
        return facts
    held = root_training and not module.training
    training: bool | None = module.training if baked is None else None
    uses = baked if baked is not None else saved_layers.uses_batch_statistics(module, layer.kind)
    uses_batch: Maybe[bool] = UNKNOWN if uses is None else uses
    if baked is not None:
        facts["mixes_samples"] = True  # the layer of a program normalises its input as it comes
    return facts | {
        "learns_statistics": layer.kind is NormKind.BATCH and not saved_layers.is_frozen(module) and not held,
        "training": training,
        "model_training": root_training,
        "uses_batch_statistics": uses_batch,
        "ignores_eval": ignores_eval(layer.kind, uses_batch, training),
    }


def _folding(kind: NormKind) -> dict[str, Any]:
    """Other kinds than BatchNorm are never folded; of BatchNorm only a graph tells."""
    if kind is NormKind.BATCH:
        return {}
    return {"foldable": None, "folds_into": frozenset(), "fold_obstacle": None}
