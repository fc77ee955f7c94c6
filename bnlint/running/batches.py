"""Batches for a run: values where there are none, and other neighbours for the first sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from bnlint.tracing.infer_inputs import first_layers
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.live import named_modules


def with_values(inputs: Inputs, seed: int = 0) -> Inputs:
    """The inputs with values in place of meta tensors.

    Normal random numbers for floating point; integers are 0 or 1, which every embedding knows; booleans are false.
    """
    generator = torch.Generator().manual_seed(seed)

    def fill(tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor
        if tensor.is_floating_point() or tensor.is_complex():
            return torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
        if tensor.dtype is torch.bool:
            return torch.zeros(tensor.shape, dtype=tensor.dtype)
        return torch.randint(0, 2, tensor.shape, generator=generator).to(tensor.dtype)

    return mapped(fill, inputs)


def mapped(function: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """The inputs with a function applied to every tensor that has axes."""
    args, kwargs = tree_map_only(
        Tensor, lambda tensor: function(tensor) if tensor.dim() else tensor, (inputs.args, dict(inputs.kwargs))
    )
    return Inputs(args, kwargs, inputs.assumed)


def sample_count(inputs: Inputs) -> int:
    """Samples in the inputs: the elements of a list, or the first axis that all tensors share, or 1."""
    first = inputs.args[0] if inputs.args else None
    return len(first) if isinstance(first, (list, tuple)) else inputs.batch_size or 1


def at_least_two(inputs: Inputs) -> Inputs:
    """The inputs, the only sample twice where there is one: some layers refuse to train on a single sample."""
    if inputs.batch_size != 1:
        return inputs
    return mapped(lambda tensor: torch.cat([tensor, tensor]), inputs)


def with_other_neighbours(inputs: Inputs) -> Inputs | None:
    """The inputs with the same first sample and other values in the samples after it.

    The others are mirrored along all their axes; floating-point values are doubled as well, so that the batch has
    another mean and another variance.

    Args:
        inputs: Two samples or more, with values.

    Returns:
        The inputs, or `None` where the values leave nothing to change.
    """
    other = mapped(_disturbed, inputs)
    changed = any(not torch.equal(one, two) for one, two in zip(inputs.tensors(), other.tensors(), strict=True))
    return other if changed else None


def _disturbed(tensor: Tensor) -> Tensor:
    first, rest = tensor[:1], tensor[1:].flip(tuple(range(1, tensor.dim())))
    return torch.cat([first, rest * 2 if tensor.is_floating_point() else rest])


def batch_axis_unknown(model: nn.Module, inputs: Inputs) -> str:
    """Why the first axis of the inputs may not be that of the samples; empty where it is.

    Images, volumes and rows of features have it first by the convention of PyTorch. Convolutions, recurrent and
    attention layers also take a sample without it; sequences have it second in recurrent and attention layers with
    `batch_first=False`, which is their default.
    """
    tensors = inputs.tensors()
    if any(isinstance(value, (list, tuple, Mapping)) for value in (*inputs.args, *inputs.kwargs.values())):
        return "the samples are given in a list or another structure, not along an axis"
    if inputs.batch_size is None:
        return "the inputs share no first axis, so there is no telling the samples of a batch apart"
    if any(tensor.is_floating_point() and tensor.dim() <= _rank_without_samples(model) for tensor in tensors):
        return "the inputs may be a single sample without an axis for samples"
    if all(tensor.dim() < 2 for tensor in tensors):
        return "the one axis of the inputs may be a sequence rather than the batch"
    sequences = any(tensor.dim() == 3 or not tensor.is_floating_point() for tensor in tensors)
    if sequences and any(not module.batch_first for module in _sequence_layers(model)):
        return "with `batch_first=False` the first axis may be time rather than the batch"
    return ""


def _sequence_layers(model: nn.Module) -> list[nn.RNNBase | nn.MultiheadAttention]:
    return [module for _, module in named_modules(model) if isinstance(module, (nn.RNNBase, nn.MultiheadAttention))]


def _rank_without_samples(model: nn.Module) -> int:
    """The rank of a single sample that the model may take without an axis for samples; 0 if it takes none."""
    first = next(iter(first_layers(model)), None)
    convolutions = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d), 3: (nn.Conv3d,)}
    spatial = next((dims for dims, classes in convolutions.items() if isinstance(first, classes)), 0)
    return spatial + 1 if spatial else 2 if _sequence_layers(model) else 0
