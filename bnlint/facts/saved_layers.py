"""The normalisation layers of a model, or of weights, read as data: no class is at hand, only names and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bnlint.artifacts.inert.tree import SavedModule
from bnlint.artifacts.saved import Saved
from bnlint.artifacts.stored import StoredTensor
from bnlint.facts.configuration import EPS_NAMES, Configuration, dims_of_name, eps_among, number
from bnlint.facts.numbers import of_stored
from bnlint.facts.statistics import NormTensors
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.norms.kinds import WITH_STATISTICS, NormKind
from bnlint.norms.mode import uses_batch_statistics
from bnlint.norms.names import LOCAL_RESPONSE, is_frozen_by_name, is_of_torch, kind_by_name
from bnlint.norms.tensors import STATISTICS, TENSORS
from bnlint.norms.weights import named_layers

_STATISTICS: Final = frozenset(STATISTICS)


@dataclass(frozen=True)
class SavedNormLayer:
    """A normalisation layer in a file.

    Attributes:
        path: Its path.
        kind: Its kind; `None` where the names of weights fit several.
        tensors: Its tensors.
        module: Its module, where the file holds the whole model.
        configuration: What the module was built with.
    """

    path: str
    kind: NormKind | None
    tensors: NormTensors
    module: SavedModule | None = None
    configuration: Configuration | None = None


def saved_norm_layers(saved: Saved) -> tuple[SavedNormLayer, ...]:
    """The normalisation layers of a model, or of weights, read as data, in the order of the file."""
    return _of_modules(saved) if saved.modules else stored_norm_layers(saved.tensors, saved.versions)


def stored_norm_layers(tensors: Mapping[str, StoredTensor], versions: Mapping[str, int]) -> tuple[SavedNormLayer, ...]:
    """The normalisation layers of weights in a file, in the order of the file."""
    layers = named_layers(tensors, versions)
    numbers = _numbers(tensors, [layer.tensors for layer in layers])
    return tuple(SavedNormLayer(layer.path, layer.kind, own) for layer, own in zip(layers, numbers, strict=True))


def _of_modules(saved: Saved) -> tuple[SavedNormLayer, ...]:
    found = [(module, kind) for module in saved.modules if (kind := saved_kind(module)) is not None]
    names = [{name: module.full_name(name) for name in TENSORS if name in module.tensors} for module, _ in found]
    return tuple(
        SavedNormLayer(module.path, kind, own, module, configuration(module))
        for (module, kind), own in zip(found, _numbers(saved.tensors, names), strict=True)
    )


def _numbers(tensors: Mapping[str, StoredTensor], names: Sequence[Mapping[str, str]]) -> list[NormTensors]:
    """The tensors of each layer, whose names are given by what they are."""
    wanted = dict.fromkeys(name for own in names for name in own.values())
    numbers = dict(zip(wanted, of_stored([tensors[name] for name in wanted]), strict=True))
    return [NormTensors(**{role: numbers[name] for role, name in own.items()}) for own in names]


def saved_kind(module: SavedModule) -> NormKind | None:
    """The kind of normalisation that a saved module does, `None` for any other module.

    A class is told by its name, as the classes that do their own arithmetic are in live models. A subclass of a
    BatchNorm under a name that does not say so is told by what every `torch.nn` BatchNorm keeps: running statistics, or
    what is left of them, and `track_running_stats`.
    """
    if module.class_name in LOCAL_RESPONSE:
        return NormKind.LOCAL_RESPONSE
    kind = kind_by_name(module.class_name)
    if kind is NormKind.BATCH and not is_of_torch(module.class_path):
        return kind if _keeps_statistics(module) or "track_running_stats" in module.attributes else None
    if kind is None and _STATISTICS & module.tensors.keys() and "track_running_stats" in module.attributes:
        return NormKind.BATCH
    return kind


def is_frozen(module: SavedModule) -> bool:
    """Whether a BatchNorm normalises by its running statistics whatever its mode: it keeps its scale in buffers."""
    return "track_running_stats" not in module.attributes and is_frozen_by_name(module.class_name)


def saved_uses_batch_statistics(module: SavedModule, kind: NormKind) -> bool | None:
    """Whether a layer, in its present mode, normalises by the values at hand.

    Returns:
        `None` where its flag is missing, and for a class in eval mode that is a BatchNorm by its name alone: its code
        is not at hand.
    """
    if kind is NormKind.BATCH and computes_by_hand(module):
        return False if is_frozen(module) else module.training or None
    statistics = not _STATISTICS.isdisjoint({*module.tensors, *module.unreadable})
    return uses_batch_statistics(kind, training=module.training, statistics=statistics)


def configuration(module: SavedModule) -> Configuration:
    """What the class and the attributes of a saved layer say."""
    attributes = module.attributes
    parameters = [tensor for tensor in module.tensors.values() if tensor.parameter]
    eps: Maybe[float | None] = eps_among(attributes.get)
    # Beside the attributes of the object, a class may have some of its own; and a traced program leaves some out.
    told = any(name in attributes for name in EPS_NAMES) or module.class_name in LOCAL_RESPONSE
    return Configuration(
        class_name=module.class_name,
        spatial_dims=_spatial_dims(module),
        synchronised="sync" in module.class_name.lower(),
        parameters_frozen=not any(tensor.requires_grad for tensor in parameters) if parameters else None,
        momentum=_momentum(module),
        eps=UNKNOWN if eps is None and not told else eps,
    )


def _momentum(module: SavedModule) -> Maybe[float | None]:
    """The momentum; unknown where a traced program does not tell that of a class which always has one."""
    of_torch = is_of_torch(module.class_path) or "track_running_stats" in module.attributes
    keeps_one = of_torch and saved_kind(module) in WITH_STATISTICS
    if keeps_one and "momentum" not in module.attributes:
        return UNKNOWN
    return number(module.attributes.get("momentum"))


def statistics_unknown(layer: SavedNormLayer, *, part: bool) -> dict[str, Any]:
    """What the tensors of a layer do not tell of its statistics, although one or both are not among them.

    Args:
        layer: The layer.
        part: Whether the file is one of several: files are cut between any two tensors.

    Returns:
        The unknown facts by field name of `NormFacts`.
    """
    module = layer.module
    unreadable = module is not None and bool(_STATISTICS & set(module.unreadable))
    cut = part and (layer.tensors.running_mean is None or layer.tensors.running_var is None)
    if unreadable or cut:
        return {"has_running_statistics": UNKNOWN, "missing_statistic": UNKNOWN}
    own_arithmetic = module is not None and not is_of_torch(module.class_path)
    # A class that normalises in its own way may need one alone.
    return {"missing_statistic": UNKNOWN} if own_arithmetic and layer.tensors.missing_statistic is not None else {}


def computes_by_hand(module: SavedModule) -> bool:
    """Whether a class does the arithmetic of normalisation in Python rather than in a kernel of PyTorch."""
    return "track_running_stats" not in module.attributes and not is_of_torch(module.class_path)


def _keeps_statistics(module: SavedModule) -> bool:
    return module.tensors.keys() >= _STATISTICS


def _spatial_dims(module: SavedModule) -> Maybe[int | None]:
    """By the name of the class; a class outside torch may inherit them from one that is not at hand."""
    told = dims_of_name(module.class_name)
    return UNKNOWN if told is None and not is_of_torch(module.class_path) else told
