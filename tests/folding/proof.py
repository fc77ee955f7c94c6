"""Whether a fold is right, judged without bnlint's own proof: the original in float64 is the reference."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only

import bnlint
from bnlint.folding.fold import FoldResult
from bnlint.norms.classes import norm_kind
from bnlint.norms.kinds import NormKind

EXACT = 1e-10
"""Relative error of a model folded and run in float64."""

ROUNDED = {torch.float64: EXACT, torch.float32: 2e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Relative error of a folded model in its own data type; the models of these tests are a few layers deep."""


def awkward(model: nn.Module, seed: int = 0) -> nn.Module:
    """Eval mode, with the statistics that tell a right fold from a wrong one, in place.

    Gains of both signs, means far from 0, in each BatchNorm one variance of 1e-6 and one of 100, and an affine of
    both signs in every other normalisation.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        kind = norm_kind(module)
        if kind is None:
            continue
        if kind is NormKind.BATCH and getattr(module, "running_var", None) is not None:
            module.running_mean.normal_(0, 0.7, generator=generator)
            module.running_var.uniform_(0.3, 3, generator=generator)
            module.running_var[0], module.running_var[-1] = 1e-6, 100
        if getattr(module, "num_batches_tracked", None) is not None:
            module.num_batches_tracked.fill_(1000)
        if getattr(module, "weight", None) is not None:
            signs = torch.randint(0, 2, module.weight.shape, generator=generator) * 2 - 1
            module.weight.data.uniform_(0.5, 1.5, generator=generator).mul_(signs)
        if getattr(module, "bias", None) is not None:
            module.bias.data.normal_(0, 0.5, generator=generator)
    return model.eval()


def with_positive_gains(model: nn.Module) -> nn.Module:
    """Makes the scale of every BatchNorm positive, in place."""
    for path in batch_norms(model):
        model.get_submodule(path).weight.data.abs_()
    return model


def images(*shape: int) -> Tensor:
    """Random values that do not change from run to run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def outputs(model: nn.Module, inputs: tuple[Any, ...], dtype: torch.dtype | None = None) -> list[Tensor]:
    """Floating-point outputs in float64 of a run on copies of the inputs, in `dtype` if given."""
    copies = tree_map_only(
        Tensor, lambda t: t.clone().to(dtype) if dtype is not None and t.is_floating_point() else t.clone(), inputs
    )
    with torch.no_grad():
        leaves = tree_flatten(model(*copies))[0]
    return [leaf.double() for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def reference(model: nn.Module, inputs: tuple[Any, ...]) -> list[Tensor]:
    """What a float64 copy of a model computes."""
    return outputs(copy.deepcopy(model).double(), inputs, torch.float64)


def relative_error(expected: list[Tensor], outcome: list[Tensor]) -> float:
    """Largest difference relative to the largest expected value of the same output."""
    assert [tensor.shape for tensor in expected] == [tensor.shape for tensor in outcome]
    assert expected
    errors = [
        float((got - want).abs().max() / want.abs().max().clamp_min(1e-300))
        for want, got in zip(expected, outcome, strict=True)
    ]
    return max(errors) if all(error == error for error in errors) else float("inf")


def batch_norms(model: nn.Module) -> list[str]:
    """Paths of the BatchNorm layers."""
    return [path for path, module in model.named_modules() if norm_kind(module) is NormKind.BATCH]


def fold(model: nn.Module, *inputs: Any, dtype: torch.dtype = torch.float32) -> FoldResult:
    """Fold a float64 copy and a copy in `dtype`, and assert that each computes what the original computes.

    Returns:
        The result in `dtype`.
    """
    expected = reference(model, inputs)
    exact = bnlint.fold(copy.deepcopy(model).double(), _as(inputs, torch.float64))
    _assert_small(relative_error(expected, outputs(exact.model, inputs, torch.float64)), EXACT, exact)
    if dtype is torch.float64:
        return exact
    expected = reference(model.to(dtype), inputs)
    result = bnlint.fold(model, _as(inputs, dtype))
    _assert_small(relative_error(expected, outputs(result.model, inputs, dtype)), ROUNDED[dtype], result)
    assert result.kept == exact.kept, (result.kept, exact.kept)
    assert_agreement(model, _as(inputs, dtype), result)
    return result


def assert_agreement(model: nn.Module, inputs: Any, result: FoldResult) -> None:
    """Assert that the facts and `bnlint.plan` say of each BatchNorm what the fold of a model did, reasons included."""
    into = {item.layer: frozenset(item.into) for item in result.folds}
    causes = {item.layer: item.cause for item in result.kept}
    for record in bnlint.inspect(model, inputs=inputs).norms:
        if record.kind == NormKind.BATCH:
            said = (record.foldable, record.folds_into, record.fold_obstacle)
            layer = record.layer
            assert said == (layer in into, into.get(layer, frozenset()), causes.get(layer)), (layer, said, result)
    planned = bnlint.plan(model, inputs)
    assert {item.layer: frozenset(item.into) for item in planned.folds} == into
    assert planned.kept == result.kept


def assert_folds(model: nn.Module, *inputs: Any, dtype: torch.dtype = torch.float32) -> FoldResult:
    """Assert that no BatchNorm is left, and that the outputs are right."""
    before = batch_norms(model)
    result = fold(model, *inputs, dtype=dtype)
    assert result.kept == (), result.kept
    assert batch_norms(result.model) == []
    assert {item.layer for item in result.folds} >= set(before)
    return result


def assert_kept(model: nn.Module, *inputs: Any, layer: str = "bn", words: str) -> FoldResult:
    """Assert that a BatchNorm stays, for a reason with these words, and that the outputs are right."""
    result = fold(model, *inputs)
    reasons = {kept.layer: kept.reason for kept in result.kept}
    assert words in reasons.get(layer, "nothing: it was folded"), reasons
    assert layer in batch_norms(result.model)
    return result


def _assert_small(error: float, tolerance: float, result: FoldResult) -> None:
    verdict = "its own proof noticed nothing" if result.verified else "its own proof failed too"
    assert error < tolerance, f"WRONG: relative error {error:.1e}, {verdict}; folded: {result.folds}"
    assert result.verified, result.proof


def _as(inputs: tuple[Any, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    changed: tuple[Any, ...] = tree_map_only(
        Tensor, lambda t: t.clone().to(dtype) if t.is_floating_point() else t.clone(), inputs
    )
    return changed


class Model(nn.Module):
    """Layers by name, and a function of them and the inputs as the forward."""

    def __init__(self, compute: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.compute = compute
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs: Tensor) -> Any:
        return self.compute(self, *inputs)


class Chain(nn.Module):
    """Layers in a row, each under its own name, with functions between them."""

    def __init__(self, **steps: Any) -> None:
        super().__init__()
        self._order = list(steps)
        self._functions = {name: step for name, step in steps.items() if not isinstance(step, nn.Module)}
        for name, step in steps.items():
            if isinstance(step, nn.Module):
                self.add_module(name, step)

    def forward(self, x: Any) -> Any:
        for step in self._steps():
            x = step(x)
        return x

    def _steps(self) -> Iterator[Any]:
        for name in self._order:
            yield self._functions[name] if name in self._functions else getattr(self, name)
