"""What names say of a kind of normalisation: names of classes, and the names that model code gives to layers."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from bnlint.norms.kinds import NormKind

LOCAL_RESPONSE: Final = ("LocalResponseNorm", "CrossMapLRN2d")
"""The classes of torch for local response normalisation, which no other name stands for."""

_PLAIN_PACKAGES: Final = ("torch.nn.modules.", "torch.ao.nn.")

_CLASSES: Final = (
    (re.compile(r"BatchNorm(Act)?([123]d)?$|^FrozenBatchNorm|^FrozenBN", re.IGNORECASE), NormKind.BATCH),
    (re.compile(r"RMSNorm(2d)?$", re.IGNORECASE), NormKind.RMS),
    (re.compile(r"LayerNorm([123]d)?$", re.IGNORECASE), NormKind.LAYER),
    (re.compile(r"InstanceNorm([123]d)?$", re.IGNORECASE), NormKind.INSTANCE),
    (re.compile(r"GroupNorm$", re.IGNORECASE), NormKind.GROUP),
)
_LAYERS: Final = (
    (re.compile(r"batch_?norm|(^|_)bn(_|$)"), NormKind.BATCH),
    (re.compile(r"instance_?norm"), NormKind.INSTANCE),
    (re.compile(r"rms_?norm|(^|_)rms(_|$)"), NormKind.RMS),
    (re.compile(r"group_?norm|(^|_)gn(_|$)"), NormKind.GROUP),
    (re.compile(r"layer_?norm|(^|_)ln(_|$)"), NormKind.LAYER),
)
_LONGEST: Final = 256
"""Characters of a name that is looked at: the patterns take a time that grows with the square of it."""

_DIGITS: Final = re.compile(r"\d+(?=_|$)")
_ANY_NORM: Final = re.compile(r"(?<!weight_)(?<!spectral_)norms?(\d\w*)?(_|$)|normali[sz]ation")
"""Not `normalizer`, `normals`, nor the reparametrisations of weights."""


def kind_by_name(class_name: str) -> NormKind | None:
    """The kind of normalisation that a class name stands for, `None` for other names."""
    return next((kind for pattern, kind in _CLASSES if pattern.search(class_name)), None)


def is_frozen_by_name(class_name: str) -> bool:
    """Whether a class of BatchNorm says that it normalises by its running statistics whatever its mode."""
    return "frozen" in class_name.lower()


def is_of_torch(class_path: str) -> bool:
    """Whether a dotted path is that of a layer of torch, whose code is known."""
    return class_path.startswith(_PLAIN_PACKAGES)


def kind_of_path(path: str) -> NormKind | None:
    """The kind of normalisation that the name of a layer says, `None` for other names."""
    return _kind_of_word(_word(path))


def says_norm(path: str) -> bool:
    """Whether the name of a layer says normalisation, of whatever kind."""
    return kind_of_path(path) is not None or _ANY_NORM.search(_word(path)) is not None


@lru_cache(1024)  # thousands of layers share a few names
def _kind_of_word(word: str) -> NormKind | None:
    return next((kind for pattern, kind in _LAYERS if pattern.search(word)), None)


def _word(path: str) -> str:
    """The last name of a path that is not a number, in lower case and without the digits at the ends of its parts."""
    last = path.rpartition(".")[2]
    if last.isdigit():
        last = next((part for part in reversed(path.split(".")) if not part.isdigit()), "")
    return _DIGITS.sub("", last).lower() if len(last) <= _LONGEST else ""
