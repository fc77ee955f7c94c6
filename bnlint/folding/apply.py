"""Does what a plan says."""

from __future__ import annotations

from torch import nn

from bnlint.folding.plan import Plan
from bnlint.folding.weights import changed_carriers


def apply_plan(model: nn.Module, plan: Plan) -> None:
    """Fold in place: change the weights of the carriers, and put what remains in the place of each folded BatchNorm.

    Args:
        model: A model of the structure that was planned; its weights are changed.
        plan: The plan.
    """
    for carrier in changed_carriers(model, plan).values():
        carrier.store()
    for fold in plan.folds:
        layer = model.get_submodule(fold.layer)
        for path in (fold.layer, *fold.aliases):
            owner, _, name = path.rpartition(".")
            model.get_submodule(owner)._modules[name] = fold.remainder.build(layer)
