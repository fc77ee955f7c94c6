"""Whether folded weights can be held by the data type of the model."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

from bnlint.folding.plan import Plan
from bnlint.folding.weights import changed_carriers

_ROUNDINGS = 4.0
"""Units of the last place that a cast may cost: rounding costs half of one, numbers below the normal range far more."""


def beyond_precision(model: nn.Module, plan: Plan) -> dict[str, tuple[str, ...]]:
    """The folds whose weights would leave the range of the data type of their carrier.

    Args:
        model: The model, with weights; it is not changed.
        plan: What is to be folded.

    Returns:
        Path of each such BatchNorm to the reason, as a template and its names, with the number. A scale of 1e-6 on a
        float16 weight of 0.05 is below the smallest normal number (6.1e-5), and one of 1e6 above the largest (65504).
    """
    takers: dict[str, list[str]] = defaultdict(list)
    for fold in plan.folds:
        for path in fold.into:
            takers[path].append(fold.layer)
    reasons: dict[str, tuple[str, ...]] = {}
    for path, carrier in changed_carriers(model, plan).items():
        dtype = _dtype(model.get_submodule(path))
        error = max(_cast_error(tensor, dtype) for tensor in carrier.tensors())
        limit = _ROUNDINGS * torch.finfo(dtype).eps
        if not error <= limit:
            words = f"{error:.1e}" if error < float("inf") else "infinite"
            name = str(dtype).removeprefix("torch.")
            template = f"in the {name} weight of {{}} it would cost a relative error of {{}} (limit {limit:.1e})"
            reasons |= dict.fromkeys(takers[path], (template, path, words))
    return reasons


def _cast_error(exact: Tensor, dtype: torch.dtype) -> float:
    """Largest error of a cast, relative to the largest value of the same channel, or of the whole bias."""
    rows = exact.reshape(1 if exact.dim() == 1 else exact.shape[0], -1)
    largest = rows.abs().amax(dim=1)
    error = (rows - rows.to(dtype).double()).abs().amax(dim=1)
    relative = torch.where(largest > 0, error / largest, error)
    return float("inf") if not bool(relative.isfinite().all()) else float(relative.max())


def _dtype(module: nn.Module) -> torch.dtype:
    weight = module.weight
    return weight.dtype if isinstance(weight, Tensor) else torch.float32
