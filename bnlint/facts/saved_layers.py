"""The normalisation layers of a model, or of weights, read as data: no class is at hand, only names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from bnlint.artifacts.inert.tree import SavedModule
from bnlint.artifacts.saved import Saved
from bnlint.artifacts.stored import StoredTensor
from bnlint.facts.named_layers import Described, named_layers
from bnlint.facts.numbers import of_stored
from bnlint.facts.statistics import NormTensors
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.tracing.kinds import NormKind, kind_by_name

_LOCAL_RESPONSE: Final = ("LocalResponseNorm", "CrossMapLRN2d")
_PLAIN_PACKAGES: Final = ("torch.nn.modules.", "torch.ao.nn.")


TENSORS: Final[tuple[str, ...]] = ("running_mean", "running_var", "weight", "bias", "num_batches_tracked")
"""The tensors of a normalisation layer, by their names in torch."""

T = TypeVar("T")


@dataclass(frozen=True)
class SavedNormLayer:
    """A normalisation layer in a file.

    Attributes:
        path: Its path.
        kind: Its kind.
        tensors: Its tensors.
        module: Its module, where the file holds the whole model.
    """

    path: str
    kind: NormKind
    tensors: NormTensors
    module: SavedModule | None = None


@dataclass(frozen=True)
class LayerOfNames:
    """A normalisation layer that the names of weights show.

    Attributes:
        path: Its path.
        kind: Its kind.
        names: The names of its tensors, by what they are.
    """

    path: str
    kind: NormKind
    names: Mapping[str, str]

    def pick(self, tensors: Mapping[str, T]) -> dict[str, T]:
        """Its tensors, by what they are."""
        return {role: tensors[name] for role, name in self.names.items()}


def saved_norm_layers(saved: Saved) -> tuple[SavedNormLayer, ...]:
    """The normalisation layers of a model, or of weights, read as data, in the order of the file."""
    return tuple(_of_modules(saved)) if saved.modules else stored_norm_layers(saved.tensors, saved.versions)


def stored_norm_layers(tensors: Mapping[str, StoredTensor], versions: Mapping[str, int]) -> tuple[SavedNormLayer, ...]:
    """The normalisation layers of weights in a file, in the order of the file."""
    return tuple(
        SavedNormLayer(layer.path, layer.kind, _numbers(tensors, layer.names))
        for layer in layers_of_names(tensors, versions)
    )


def layers_of_names(tensors: Mapping[str, Described], versions: Mapping[str, int]) -> tuple[LayerOfNames, ...]:
    """The normalisation layers that names, shapes and versions tell beyond doubt; others are left out."""
    found = named_layers(tensors, versions).layers
    return tuple(LayerOfNames(layer.path, layer.kind, layer.tensors) for layer in found if layer.kind is not None)


def _of_modules(saved: Saved) -> Iterator[SavedNormLayer]:
    for module in saved.modules:
        kind = saved_kind(module)
        if kind is None:
            continue
        prefix = f"{module.path}." if module.path else ""
        names = {name: prefix + name for name in TENSORS if name in module.tensors}
        yield SavedNormLayer(module.path, kind, _numbers(saved.tensors, names), module)


def _numbers(tensors: Mapping[str, StoredTensor], names: Mapping[str, str]) -> NormTensors:
    return NormTensors(**{role: of_stored(tensors[name]) for role, name in names.items()})


def saved_kind(module: SavedModule) -> NormKind | None:
    """The kind of normalisation that a saved module does, `None` for any other module.

    A class is told by its name, as the classes that do their own arithmetic are in live models. A subclass of a
    BatchNorm under a name that does not say so is told by what every `torch.nn` BatchNorm keeps: running statistics,
    `momentum` and `track_running_stats`.
    """
    if class_name(module) in _LOCAL_RESPONSE:
        return NormKind.LOCAL_RESPONSE
    kind = kind_by_name(class_name(module))
    if kind is NormKind.BATCH and not module.class_path.startswith(_PLAIN_PACKAGES):
        return kind if _keeps_statistics(module) or "track_running_stats" in module.attributes else None
    if kind is None and _keeps_statistics(module) and "track_running_stats" in module.attributes:
        return NormKind.BATCH
    return kind


def class_name(module: SavedModule) -> str:
    """Name of the class, without its module."""
    return module.class_path.rpartition(".")[2]


def is_frozen(module: SavedModule) -> bool:
    """Whether a BatchNorm normalises by its running statistics whatever its mode: it keeps its scale in buffers."""
    return "track_running_stats" not in module.attributes and "frozen" in class_name(module).lower()


def uses_batch_statistics(module: SavedModule, kind: NormKind) -> bool | None:
    """Whether a layer, in its present mode, normalises by the values at hand; `None` where its flag is missing."""
    if kind is not NormKind.BATCH and not (kind is NormKind.INSTANCE and "track_running_stats" in module.attributes):
        return True
    if is_frozen(module):
        return False
    if not _keeps_statistics(module) and not _unreadable_statistics(module):
        return True
    return module.training


def configuration(module: SavedModule) -> dict[str, Any]:
    """What the attributes of a saved layer say, by field name of `NormFacts`."""
    attributes = module.attributes
    parameters = [tensor for tensor in module.tensors.values() if tensor.parameter]
    names = ("eps", "epsilon", "variance_epsilon")
    eps = next((attributes[name] for name in names if attributes.get(name) is not None), None)
    # Beside the attributes of the object, a class may have some of its own.
    told = any(name in attributes for name in names) or module.class_path.startswith(_PLAIN_PACKAGES)
    momentum = attributes.get("momentum")
    return {
        "class_name": class_name(module),
        "spatial_dims": _spatial_dims(module),
        "synchronised": "sync" in class_name(module).lower(),
        "parameters_frozen": not any(tensor.requires_grad for tensor in parameters) if parameters else None,
        "momentum": momentum if isinstance(momentum, (int, float)) else None,
        "eps": float(eps) if isinstance(eps, (int, float)) else None if told else UNKNOWN,
    }


def computes_by_hand(module: SavedModule) -> bool:
    """Whether a class does the arithmetic of normalisation in Python rather than in a kernel of PyTorch."""
    return "track_running_stats" not in module.attributes and not module.class_path.startswith(_PLAIN_PACKAGES)


def _keeps_statistics(module: SavedModule) -> bool:
    return {"running_mean", "running_var"} <= module.tensors.keys()


def _unreadable_statistics(module: SavedModule) -> bool:
    return bool({"running_mean", "running_var"} & set(module.unreadable))


def _spatial_dims(module: SavedModule) -> Maybe[int | None]:
    """By the name of the class; a class outside torch may inherit them from one that is not at hand."""
    told = next((dims for dims in (1, 2, 3) if class_name(module).endswith(f"Norm{dims}d")), None)
    return UNKNOWN if told is None and not module.class_path.startswith(_PLAIN_PACKAGES) else told
