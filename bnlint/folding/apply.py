"""Does what a plan says, to a model or to a copy of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bnlint.folding.copying import copied
from bnlint.folding.plan import Plan
from bnlint.folding.precision import cast_error
from bnlint.folding.weights import Carrier, changed_carriers
from bnlint.tracing.live import named_modules, submodule


@dataclass(frozen=True)
class NewWeights:
    """What a carrier gets, in its own data type.

    Attributes:
        weight: Its weight.
        bias: Its bias; `None` where it has none and needs none.
    """

    weight: Tensor
    bias: Tensor | None


def new_weights(model: nn.Module, plan: Plan) -> dict[str, NewWeights]:
    """What the carriers of a plan get, by path; the model keeps the weights that it has."""
    return {path: cast(carrier) for path, carrier in changed_carriers(model, plan).items()}


def cast(carrier: Carrier) -> NewWeights:
    """Make the weights of a carrier, with one cast; the carrier keeps those that it has."""
    weight = torch.empty_like(carrier.weight)
    _write(carrier, weight)
    return NewWeights(weight, cast_bias(carrier))


def cast_bias(carrier: Carrier) -> Tensor | None:
    """The bias that a carrier gets, in the data type that it will have."""
    return None if carrier.bias is None else carrier.bias.to(carrier.bias_dtype)


def error_of_cast(carrier: Carrier) -> float:
    """Relative error of what `cast` makes, as `cast_error` tells it; weights that stay in range are not made for it."""
    dtype = carrier.weight.dtype
    error = 0.0 if carrier.bias is None else cast_error(carrier.bias, carrier.bias_dtype)
    if carrier.stays_normal():
        return max(error, torch.finfo(dtype).eps / 2)
    return max(error, *(cast_error(block, dtype) for _, block in carrier.blocks()))


def apply_plan(model: nn.Module, plan: Plan) -> None:
    """Fold in place: change the weights of the carriers, and put what remains in the place of each folded BatchNorm.

    Args:
        model: The model that was planned; its weights are overwritten a block at a time.
        plan: The plan.
    """
    for path, carrier in changed_carriers(model, plan).items():
        _write(carrier, carrier.weight)
        _set_bias(submodule(model, path), cast_bias(carrier))
    put_remainders(model, plan)


def put_remainders(model: nn.Module, plan: Plan) -> None:
    """Put what remains in the place of each folded BatchNorm."""
    for fold in plan.folds:
        remainder = fold.remainder.build(submodule(model, fold.layer))
        for path in (fold.layer, *fold.aliases):
            owner, _, name = path.rpartition(".")
            submodule(model, owner)._modules[name] = remainder


def folded_copy(model: nn.Module, plan: Plan, weights: Mapping[str, NewWeights]) -> nn.Module:
    """Copy a model as `copy.deepcopy` does, but folded: what a fold changes or removes is not copied first.

    Args:
        model: The model that was planned; it is not changed.
        plan: The plan.
        weights: The new weights of its carriers, by path; the copy takes them over.
    """
    modules = dict(named_modules(model, once=False))
    memo: dict[int, object] = {}
    for path, new in weights.items():
        for own, tensor in zip(_own_tensors(modules[path]), (new.weight, new.bias), strict=True):
            if type(own) is nn.Parameter and tensor is not None:
                memo[id(own)] = nn.Parameter(tensor, requires_grad=own.requires_grad)
    for fold in plan.folds:
        layer = modules[fold.layer]
        remainder = fold.remainder.build(layer)
        memo[id(layer)] = copy.deepcopy(remainder, memo) if fold.remainder.names else remainder
    given = set(memo)
    twin = copied(model, memo)
    twins = dict(named_modules(twin, once=False))
    for path, new in weights.items():
        weight, bias = _own_tensors(modules[path])
        if id(weight) not in given:  # a buffer, or a parameter of a class of its own
            _own_tensors(twins[path])[0].detach().copy_(new.weight)
        if id(bias) not in given:
            _set_bias(twins[path], new.bias)
    return twin


def _own_tensors(module: nn.Module) -> tuple[Tensor, Tensor | None]:
    weight: Tensor = module.weight  # type: ignore[assignment]
    return weight, getattr(module, "bias", None)


def _write(carrier: Carrier, target: Tensor) -> None:
    """Write the new weight into a tensor, which may be that of the carrier."""
    for part, block in carrier.blocks():
        target[part] = block


def _set_bias(module: nn.Module, bias: Tensor | None) -> None:
    if bias is None:
        return
    own = getattr(module, "bias", None)
    if isinstance(own, Tensor):
        own.detach().copy_(bias)
        return
    weight: Tensor = module.weight  # type: ignore[assignment]
    module.bias = nn.Parameter(bias, requires_grad=weight.requires_grad)
