"""Import this before torchvision or timm: it makes them importable where torchvision's compiled operators do not load.

torchvision registers shape functions for two of its C++ operators at import, which fails when nothing has defined them,
as beside a torch that was built for another device. Their schemas are enough for every model that does not call them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_OPERATORS = ("nms", "qnms")


def _compiled_operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    try:
        for library in Path(spec.origin).parent.glob("_C*.so"):
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
            return True
    except OSError:
        return False
    return False


def _define_operators() -> None:
    for name in _OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


if not _compiled_operators_load():
    _define_operators()
