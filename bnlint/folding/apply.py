"""Does what a plan says."""

from __future__ import annotations

from torch import nn

from bnlint.folding.affine import affine_of
from bnlint.folding.plan import Plan
from bnlint.folding.weights import Carrier


def apply_plan(model: nn.Module, plan: Plan) -> None:
    """Fold in place: change the weights of the carriers, and put what remains in the place of each folded BatchNorm.

    Args:
        model: A model of the structure that was planned; its weights are changed.
        plan: The plan.
    """
    carriers: dict[str, Carrier] = {}
    for fold in plan.folds:
        affine = affine_of(model.get_submodule(fold.layer))
        for change in fold.changes:
            if change.carrier not in carriers:
                carriers[change.carrier] = Carrier(model.get_submodule(change.carrier))
            carriers[change.carrier].take(change, affine)
    for carrier in carriers.values():
        carrier.store()
    for fold in plan.folds:
        layer = model.get_submodule(fold.layer)
        for path in (fold.layer, *fold.aliases):
            owner, _, name = path.rpartition(".")
            model.get_submodule(owner)._modules[name] = fold.remainder.build(layer)
