"""What the loader of a pickled file would call, sorted by how much it could do; bnlint itself calls none of it.

This is no malware scanner: a name that looks harmless can be made to do harm, and the lists here are not complete.
Reading is safe because nothing is run, whatever these lists say.
"""

from __future__ import annotations

from typing import Final, TypedDict

from bnlint.artifacts.powerful import is_powerful
from bnlint.artifacts.saved import Saved

_KNOWN_PACKAGES: Final = frozenset({
    "torch", "torchvision", "torchaudio", "timm", "transformers", "diffusers", "numpy", "collections", "copyreg",
    "copy_reg", "_codecs", "argparse", "datetime", "decimal", "fractions", "pathlib", "uuid", "lightning",
    "pytorch_lightning", "lightning_fabric", "omegaconf", "safetensors", "functools",
})  # fmt: skip
"""Top packages that saved models are usually made of."""

_KNOWN_BUILTINS: Final = frozenset({
    "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set",
    "slice", "str", "tuple", "type", "Ellipsis", "long", "unicode",
})  # fmt: skip


class FileCallFacts(TypedDict):
    """The fields of `ModelFacts` that come from the names in a file."""

    calls_on_loading: frozenset[str]
    powerful_calls: frozenset[str]
    foreign_calls: frozenset[str]


def file_calls(*files: Saved | None) -> FileCallFacts:
    """Sort what the loader of a file would call.

    Args:
        files: The file, and the one whose weights were loaded into the model; `None` for each that there is not.

    Returns:
        `calls_on_loading`, all names; of these `powerful_calls`, which can run commands or code, write files or reach
        the network, and `foreign_calls`, those outside the packages that models are usually made of, and that are no
        class of a module of the model itself.
    """
    read = [saved for saved in files if saved is not None]
    called = frozenset(name for saved in read for name in saved.called)
    others = called.difference(*(saved.classes for saved in read))
    powerful = frozenset(filter(is_powerful, others))
    foreign = frozenset(name for name in others - powerful if not _is_known(name))
    return FileCallFacts(calls_on_loading=called, powerful_calls=powerful, foreign_calls=foreign)


def _is_known(name: str) -> bool:
    package, _, rest = name.partition(".")
    return rest in _KNOWN_BUILTINS if package == "builtins" else package in _KNOWN_PACKAGES
