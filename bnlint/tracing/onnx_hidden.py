"""Normalisation in an ONNX file that its graph does not show: in branches, and in operators of other libraries."""

from __future__ import annotations

import re
from typing import Final

from bnlint.artifacts.inert.onnx_contents import OnnxContents
from bnlint.norms.onnx import NORMALISATIONS

_NORMALISES: Final = re.compile(r"(Batch|Instance|Layer|Group|RMS)Norm")


def hidden_norms(contents: OnnxContents) -> tuple[str, ...]:
    """The operators that normalise and that bnlint does not follow.

    Args:
        contents: What the file holds.

    Returns:
        A phrase for each operator, such as `BatchNormalization in the graphs of If`, each once.
    """
    found = []
    for call in contents.nodes:
        if call.operator not in NORMALISATIONS and _NORMALISES.search(call.operator):
            found.append(f"`{call.operator}`")
        inner = (name for name in call.inner_operators if _NORMALISES.search(name))
        found += [f"`{name}` in the graphs of `{call.operator}`" for name in inner]
    return tuple(dict.fromkeys(found))
