"""The flag that a user can give where no guessed input fits."""

from __future__ import annotations

from torch import nn

from bnlint.tracing.infer_inputs import first_layers, required_parameters
from bnlint.tracing.whole_layers import is_whole


def suggested_flags(model: nn.Module) -> str:
    """The `--input` flags to give, with the sizes that the first layer fixes as numbers and the others as letters.

    Args:
        model: The model; nothing of it is run.

    Returns:
        For example `--input 1x3xHxW`, or `--input tokens=1xL:int64 --input mask=SHAPE` for a forward that takes two.
    """
    first = next((layer for layer in first_layers(model) if is_whole(layer)), None)
    shape = "SHAPE" if first is None else _shape(first)
    names = [parameter.name for parameter in required_parameters(model)]
    if len(names) < 2:
        return f"`--input {shape}`"
    shapes = [shape, *["SHAPE"] * (len(names) - 1)]
    return f"`{' '.join(f'--input {name}={size}' for name, size in zip(names, shapes, strict=True))}`"


def _shape(layer: nn.Module) -> str:
    match layer:
        case nn.Conv1d() | nn.ConvTranspose1d():
            return f"1x{layer.in_channels}xL"
        case nn.Conv2d() | nn.ConvTranspose2d():
            return f"1x{layer.in_channels}xHxW"
        case nn.Conv3d() | nn.ConvTranspose3d():
            return f"1x{layer.in_channels}xTxHxW"
        case nn.Linear():
            return f"1x{layer.in_features}"
        case nn.Embedding():
            return "1xL:int64"
        case nn.RNNBase():
            return f"1xLx{layer.input_size}" if layer.batch_first else f"Lx1x{layer.input_size}"
        case nn.BatchNorm1d():
            return f"2x{layer.num_features}"
        case nn.BatchNorm2d():
            return f"1x{layer.num_features}xHxW"
        case nn.BatchNorm3d():
            return f"1x{layer.num_features}xTxHxW"
        case nn.LayerNorm():
            return "x".join(["1xL", *map(str, layer.normalized_shape)])
        case _:
            return "SHAPE"
