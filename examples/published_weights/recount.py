"""Counts BatchNorm layers with torch, onnx and safetensors, for comparison with what bnlint sees."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors import safe_open


class NotLoadedError(Exception):
    """`torch.load` refuses the file as long as nothing in it may be called."""


def batch_norms(path: Path) -> int | None:
    """Number of BatchNorm layers.

    Returns:
        None for TorchScript, which only `torch.jit.load` reads, and that runs code of the file.

    Raises:
        NotLoadedError: The file names classes or functions outside torch.
    """
    if path.suffix == ".jit":
        return None
    if path.suffix == ".onnx":
        return sum(node.op_type == "BatchNormalization" for node in onnx.load(path).graph.node)
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            return _count(dict.fromkeys(file.keys()))
    try:
        return _count(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise NotLoadedError from error


def _count(value: Any) -> int:
    """Names of variances, on any level."""
    if not isinstance(value, dict):
        return 0
    return sum(str(key).endswith("running_var") + _count(item) for key, item in value.items())
