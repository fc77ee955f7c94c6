"""The proof that a folded model computes what the original computes, in float64 and in its own data type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only

from bnlint.folding.plan import Plan, Side
from bnlint.folding.variants import Variant, as_folded, as_it_is, dtype_of, in_double
from bnlint.folding.weights import changed_carriers
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.live import named_modules, submodule
from bnlint.tracing.live import tensors as module_tensors
from bnlint.tracing.process_state import settings_kept

ALGEBRA_TOLERANCE = 1e-8
"""Relative error of a fold done and run in float64; rounding alone stays orders of magnitude below."""

TOLERANCES: Mapping[torch.dtype, float] = {
    torch.float64: 1e-8,
    torch.float32: 1e-3,
    torch.bfloat16: 1e-1,
    torch.float16: 2e-2,
}
"""Relative error of the folded model in its own data type against the original in float64, whatever its depth."""

_ROOM = 8.0
"""A folded model may also be this many times as far from float64 as the original itself is in its own data type."""

_SAMPLES = 1 << 16
"""Values of a layer's output that are compared, spread evenly: all outputs of a large model would not fit in memory."""


@dataclass(frozen=True)
class Proof:
    """How far a folded model is from the original.

    Attributes:
        errors: Relative error at the output of each folded layer, in float64; absent where the layer's affine moved
            past its output.
        algebra_error: Relative error of the outputs of the model, folded and run in float64.
        max_error: Relative error of the outputs of the folded model in its own data type, against float64.
        original_error: The same of the original in its own data type.
        tolerance: What `max_error` may be.
        verified: Whether all errors are within their tolerances.
        worst: Path of the folded layer with the largest error; empty without folds.
    """

    errors: Mapping[str, float]
    algebra_error: float
    max_error: float
    original_error: float
    tolerance: float
    verified: bool
    worst: str


def prove(
    original: nn.Module,
    folded: nn.Module | None,
    plan: Plan,
    inputs: Sequence[Inputs],
    planned_on: nn.Module | None = None,
) -> Proof:
    """Compare a folded model with the original; no weights are changed or copied.

    Args:
        original: The original; it is run in float64, its weights cast one call at a time.
        folded: The folded model in its own data type; it is run on copies of the inputs. Without one, the original is
            run with the weights that `apply_plan` would give it.
        plan: What was folded.
        inputs: Inputs with values.
        planned_on: The model that the plan is of, where that is not the original but its graph.

    Returns:
        The errors and the verdict. Values that are not finite make the verdict negative.
    """
    base = original if planned_on is None else planned_on
    carriers = changed_carriers(base, plan)
    own = {path for path, _ in named_modules(original)}
    layers = [layer for layer in _comparable(plan) if layer in own]
    errors = dict.fromkeys(layers, 0.0)
    algebra = in_type = of_original = 0.0
    for example in inputs:
        expected, inner = _run(in_double(original), example, layers)
        outcome, inner_exact = _run(as_folded(base, plan, carriers, exactly=True), example, layers)
        algebra = max(algebra, _relative(expected, outcome))
        for layer in layers:
            errors[layer] = max(errors[layer], _relative(inner.get(layer, []), inner_exact.get(layer, [])))
        result = as_folded(base, plan, carriers, exactly=False) if folded is None else as_it_is(folded)
        in_type = max(in_type, _relative(expected, _run(result, example)[0]))
        of_original = max(of_original, _relative(expected, _run(as_it_is(original), example)[0]))
    dtype = dtype_of(original)
    tolerance = max(TOLERANCES.get(dtype, 1e-3), _ROOM * of_original)
    within = algebra <= ALGEBRA_TOLERANCE and in_type <= tolerance
    verified = within and all(error <= ALGEBRA_TOLERANCE for error in errors.values())
    worst = max(errors, key=lambda layer: errors[layer], default="")
    return Proof(errors, algebra, in_type, of_original, tolerance, verified, worst)


def _comparable(plan: Plan) -> list[str]:
    """The folded layers whose own output is as before: the last that its carriers took, no carriers themselves."""
    last: dict[str, str] = {}
    for fold in plan.folds:
        for change in fold.changes:
            if change.side is not Side.INPUT:
                last[change.carrier] = fold.layer if change.side is Side.OUTPUT else ""
    return [
        fold.layer
        for fold in plan.folds
        if fold.layer not in last
        and all(change.side is Side.OUTPUT and last[change.carrier] == fold.layer for change in fold.changes)
    ]


def output_error(original: nn.Module, other: nn.Module, inputs: Sequence[Inputs]) -> float:
    """Largest relative error of the outputs of a model in its own data type, against another in float64.

    Args:
        original: It is run in float64.
        other: The model to compare.
        inputs: Inputs with values.

    Returns:
        The error; infinite where outputs are missing or not finite.
    """
    return max(_relative(_run(in_double(original), item)[0], _run(as_it_is(other), item)[0]) for item in inputs)


def output_difference(model: nn.Module, inputs: Sequence[Inputs]) -> float:
    """Largest relative difference between the outputs of two runs of a model, each with random numbers of its own.

    Args:
        model: It is run in its own data type; the state of torch's random numbers changes.
        inputs: Inputs with values.
    """
    worst = 0.0
    for example in inputs:
        torch.manual_seed(0)
        first = _run(as_it_is(model), example)[0]
        torch.manual_seed(1)
        worst = max(worst, _relative(first, _run(as_it_is(model), example)[0]))
    return worst


def has_finite_outputs(model: nn.Module, inputs: Sequence[Inputs]) -> bool:
    """Whether a model gives finite outputs on all inputs, in its own data type."""
    outputs = [tensor for item in inputs for tensor in _run(as_it_is(model), item)[0]]
    return all(bool(torch.isfinite(tensor).all()) for tensor in outputs)


def random_inputs(example: Inputs, model: nn.Module, seed: int = 0) -> Inputs:
    """Normal random numbers in the shapes of an example; integers and booleans keep the values that they have.

    Args:
        example: Inputs of a traced run, with or without values.
        model: The model, for the device.
        seed: Seed of the numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    device = next((tensor.device for tensor in module_tensors(model)), torch.device("cpu"))

    def fill(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            return torch.randn(tensor.shape, generator=generator).to(device, tensor.dtype)
        if not tensor.is_meta:
            return tensor.to(device)
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)

    args, kwargs = tree_map_only(Tensor, fill, (example.args, dict(example.kwargs)))
    return Inputs(args, kwargs, example.assumed)


def _run(variant: Variant, inputs: Inputs, layers: Sequence[str] = ()) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
    """Outputs of a model, and samples of the outputs of some of its layers, in float64."""
    samples = _Samples(layers)
    args, kwargs = tree_map_only(
        Tensor,
        lambda t: t.clone().to(variant.dtype) if t.is_floating_point() else t.clone(),
        (inputs.args, dict(inputs.kwargs)),
    )
    with settings_kept(), torch.no_grad(), _listening(variant.module, layers, samples), variant.running():
        result = variant.module(*args, **kwargs)
    return [leaf.double() for leaf in _tensors(result)], samples.of


class _Samples:
    """Samples of the outputs of layers, in one piece of memory.

    Kept one by one between the weights that come and go, they would leave holes that no further weight fits in.

    Attributes:
        of: The samples of each layer, call by call, in float64.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        self.of: dict[str, list[Tensor]] = {}
        self._store = torch.empty(len(layers) * _SAMPLES, dtype=torch.float64)
        self._used = 0

    def keep(self, layer: str, output: Any) -> None:
        """Keep a sample of an output of a layer."""
        for tensor in _tensors(output):
            values = tensor.detach().flatten()
            values = values[:: max(1, -(-values.numel() // _SAMPLES))]
            end = self._used + values.numel()
            if end > self._store.numel():  # a layer that is called several times
                self._store, self._used, end = torch.empty_like(self._store), 0, values.numel()
            self.of.setdefault(layer, []).append(self._store[self._used : end].copy_(values))
            self._used = end


@contextmanager
def _listening(model: nn.Module, layers: Iterable[str], samples: _Samples) -> Iterator[None]:
    handles = [
        submodule(model, layer).register_forward_hook(lambda _, __, output, layer=layer: samples.keep(layer, output))
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(result: Any) -> list[Tensor]:
    leaves = tree_flatten(result)[0]
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    for leaf in leaves:
        if not isinstance(leaf, Tensor) and hasattr(leaf, "__dict__"):
            tensors += [value for value in vars(leaf).values() if isinstance(value, Tensor)]
    return [tensor for tensor in tensors if tensor.is_floating_point()]


def _relative(expected: Sequence[Tensor], outcome: Sequence[Tensor]) -> float:
    """Largest difference relative to the largest expected value; infinite where values are missing or not finite."""
    if len(expected) != len(outcome):
        return float("inf")
    worst = 0.0
    for want, got in zip(expected, outcome, strict=True):
        if want.shape != got.shape or not bool(torch.isfinite(want).all()) or not bool(torch.isfinite(got).all()):
            return float("inf")
        if want.numel():
            difference, scale = (got - want).abs().max().item(), want.abs().max().item()
            worst = max(worst, difference / scale if scale else difference)
    return worst
