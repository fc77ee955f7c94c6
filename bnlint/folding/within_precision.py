"""Plans again until the data type of the model can hold what is folded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from bnlint.folding.apply import error_of_cast
from bnlint.folding.plan import Plan
from bnlint.folding.precision import beyond_precision
from bnlint.folding.weights import Carrier, changed_carriers
from bnlint.tracing.devices import lacks_values
from bnlint.tracing.live import submodule, tensors

Replan = Callable[[Mapping[str, tuple[str, ...]]], Plan]
"""Makes the plan again, with layers that must stay, each with the reason as a template and its names."""


def within_precision(model: nn.Module, plan: Plan, replan: Replan) -> Plan:
    """The plan without the folds that the data type cannot hold; what builds on them is planned again.

    Args:
        model: The model; it is not changed. One without weights passes.
        plan: What can be folded as far as the graph tells.
        replan: Makes it again without some folds.
    """
    if _lacks_weights(model, plan):
        return plan
    keep = dict(plan.keep)
    while beyond := beyond_precision(plan, _errors(changed_carriers(model, plan))):
        keep |= beyond
        plan = replan(keep)
    return plan


def _errors(carriers: Mapping[str, Carrier]) -> dict[str, tuple[torch.dtype, float]]:
    """What each cast costs; a fold of statistics that are not finite is refused for that, whatever the data type."""
    return {
        path: (carrier.weight.dtype, error_of_cast(carrier))
        for path, carrier in carriers.items()
        if carrier.is_finite()
    }


def _lacks_weights(model: nn.Module, plan: Plan) -> bool:
    paths = {path for fold in plan.folds for path in (fold.layer, *fold.into)}
    return any(lacks_values(tensor) for path in paths for tensor in tensors(submodule(model, path)))
