"""Whether folded weights can be held by the data type of the model.

Only what leaves its range is kept. Rounding inside the range is not a reason, although it costs where a layer cancels a
mean that is much larger than what is left. Where the running mean tells so, the unfolded layer suffers too: it rounds
its output before it subtracts the mean (with an input of 1 ± 0.003 in bfloat16 it is 0.59 of the output off, the folded
one 0.44). Where weights that sum to 0 cancel the mean of the same input, the folded layer alone is off (0.28, unfolded
0.005), and neither the weights nor the statistics tell, only the inputs: that is for the proof.
Source: `benchmarks/results/fold_precision.md`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from bnlint.folding.plan import Plan

_ROUNDINGS = 4.0
"""Units of the last place that a cast may cost: rounding costs half of one, numbers below the normal range far more."""


def cast_error(exact: Tensor, dtype: torch.dtype) -> float:
    """What a cast costs, relative to the largest value of the same row.

    Args:
        exact: Values in float64; the first axis has the rows, a vector is one row.
        dtype: What they are cast to.

    Returns:
        The largest error of all rows; where rounding to nearest in the normal range is all that happens, its bound of
        half a unit of the last place. Infinite where a value is lost.
    """
    rows = exact.flatten(1) if exact.dim() > 1 else exact.view(1, -1)
    if not rows.numel():
        return 0.0
    kind = torch.finfo(dtype)
    length = torch.linalg.vector_norm(rows, dim=1)  # the largest value is between length / sqrt(n) and length
    normal = (length <= kind.max) & (length >= kind.smallest_normal * rows.shape[1] ** 0.5)
    bound = kind.eps / 2 if bool(normal.any()) else 0.0
    if bool(normal.all()):
        return bound
    rest = rows[~normal]
    largest = rest.abs().amax(dim=1)
    error = (rest - rest.to(dtype).double()).abs().amax(dim=1)
    relative = torch.where(largest > 0, error / largest, error)
    return max(bound, float(relative.max())) if bool(relative.isfinite().all()) else float("inf")


def beyond_precision(plan: Plan, errors: Mapping[str, tuple[torch.dtype, float]]) -> dict[str, tuple[str, ...]]:
    """The folds whose weights would leave the range of the data type of their carrier.

    Args:
        plan: What is to be folded.
        errors: Data type of each carrier and what the cast of its weights costs, by path.

    Returns:
        Path of each such BatchNorm to the reason, as a template and its names, with the number. A scale of 1e-6 on a
        float16 weight of 0.05 is below the smallest normal number (6.1e-5), and one of 1e6 above the largest (65504).
    """
    takers: dict[str, list[str]] = defaultdict(list)
    for fold in plan.folds:
        for path in fold.into:
            takers[path].append(fold.layer)
    reasons: dict[str, tuple[str, ...]] = {}
    for path, (dtype, error) in errors.items():
        limit = _ROUNDINGS * torch.finfo(dtype).eps
        if not error <= limit:
            words = f"{error:.1e}" if error < float("inf") else "infinite"
            name = str(dtype).removeprefix("torch.")
            template = f"in the {name} weight of {{}} it would cost a relative error of {{}} (limit {limit:.1e})"
            reasons |= dict.fromkeys(takers[path], (template, path, words))
    return reasons
