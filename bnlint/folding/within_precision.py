"""Plans again until the data type of the model can hold what is folded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from bnlint.folding.apply import NewWeights, cast, error_of_cast
from bnlint.folding.plan import Plan
from bnlint.folding.precision import beyond_precision
from bnlint.folding.weights import Carrier, changed_carriers
from bnlint.tracing.live import submodule, tensors

Replan = Callable[[Mapping[str, tuple[str, ...]]], Plan]
"""Makes the plan again, with layers that must stay, each with the reason as a template and its names."""

_HALF = (torch.float16, torch.bfloat16)


def within_precision(model: nn.Module, plan: Plan, replan: Replan, *, half_only: bool = False) -> Plan:
    """The plan without the folds that the data type cannot hold; what builds on them is planned again.

    Args:
        model: The model; it is not changed. Layers on the meta device are not looked at.
        plan: What can be folded by the graph alone.
        replan: Makes it again without some folds.
        half_only: Look only at layers in half precision, the only ones that are at risk with ordinary weights.
    """

    def errors(carriers: Mapping[str, Carrier]) -> dict[str, tuple[torch.dtype, float]]:
        looked_at = {path: carrier for path, carrier in carriers.items() if _at_risk(carrier, half_only)}
        return {path: (carrier.weight.dtype, error_of_cast(carrier)) for path, carrier in looked_at.items()}

    if _lacks_weights(model, plan) or (half_only and not _has_half(model, plan)):
        return plan
    return _until_within(model, plan, replan, errors)


def cast_within_precision(model: nn.Module, plan: Plan, replan: Replan) -> tuple[Plan, dict[str, NewWeights]]:
    """The same, with the new weights of the carriers of that plan, by path."""
    weights: dict[str, NewWeights] = {}

    def errors(carriers: Mapping[str, Carrier]) -> dict[str, tuple[torch.dtype, float]]:
        weights.clear()
        weights.update((path, cast(carrier)) for path, carrier in carriers.items())
        return {path: (new.weight.dtype, new.error) for path, new in weights.items()}

    return _until_within(model, plan, replan, errors), weights


def _until_within(
    model: nn.Module,
    plan: Plan,
    replan: Replan,
    errors: Callable[[Mapping[str, Carrier]], dict[str, tuple[torch.dtype, float]]],
) -> Plan:
    keep = dict(plan.keep)
    while beyond := beyond_precision(plan, errors(changed_carriers(model, plan))):
        keep |= beyond
        plan = replan(keep)
    return plan


def _at_risk(carrier: Carrier, half_only: bool) -> bool:
    return not half_only or carrier.weight.dtype in _HALF


def _has_half(model: nn.Module, plan: Plan) -> bool:
    carriers = {path for fold in plan.folds for path in fold.into}
    return any(submodule(model, path).weight.dtype in _HALF for path in carriers)


def _lacks_weights(model: nn.Module, plan: Plan) -> bool:
    paths = {path for fold in plan.folds for path in (fold.layer, *fold.into)}
    return any(tensor.is_meta for path in paths for tensor in tensors(submodule(model, path)))
