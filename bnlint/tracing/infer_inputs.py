"""Guesses inputs that a model may accept; each guess is tried on meta tensors, which is cheap."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import TreeSpec, tree_unflatten

from bnlint.interruption import pass_on
from bnlint.text import text_of
from bnlint.tracing.exported import of_example
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.live import children, named_modules, parameters, positional_parameters
from bnlint.tracing.whole_layers import is_whole
from bnlint.user_objects import attribute

BATCH = 2
"""Samples in a guessed input: one sample would hide the batch axis from `squeeze()`."""

_IMAGE_SIZES = (224, 32, 64, 256, 28, 384, 512, 299)
_VIDEO_SIZES = ((16, 112), (16, 224), (32, 224), (8, 32))
_LENGTHS = (64, 1024, 16000, 128)
_FIRST_LAYERS = 3


def guesses(model: nn.Module) -> Iterator[Inputs]:
    """Inputs worth trying, the likeliest first.

    The sources, in order: what a live graph was made with (`ExportedProgram.module()`), `pretrained_cfg` /
    `default_cfg` (timm), `config` (Hugging Face), and the first layers with parameters: their rank, channels and
    dtype, with a few common sizes.

    Args:
        model: The model; nothing of it is run.

    Yields:
        Inputs of meta tensors, marked as assumed.
    """
    example = _of_graph(model)
    if example is not None:
        yield example
    seen = set()
    for tensor in _tensors(model):
        for inputs in _arrangements(model, tensor):
            text = str(inputs)
            if text not in seen:
                seen.add(text)
                yield inputs


def _of_graph(model: nn.Module) -> Inputs | None:
    """The inputs that a live graph was made with, where it still knows their shapes."""
    if not isinstance(model, fx.GraphModule):
        return None
    values = [of_example(node.meta.get("val")) for node in model.graph.find_nodes(op="placeholder")]
    if not values or not all(isinstance(value, Tensor) for value in values):
        return None
    tensors = [torch.empty(value.shape, dtype=value.dtype, device="meta") for value in values]
    structure = getattr(model, "_in_spec", None)
    if not isinstance(structure, TreeSpec):
        return Inputs(tuple(tensors), assumed=True)
    args, kwargs = tree_unflatten(tensors, structure)
    return Inputs(args, kwargs, assumed=True)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    dtype = _float_dtype(model)
    for part in (model, *children(model).values()):
        yield from _made(_from_configuration(part, dtype))
    for module in filter(is_whole, first_layers(model)):
        yield from _made((shape, kind or dtype) for shape, kind in _from_layer(module))


def _made(described: Iterator[tuple[tuple[int, ...], torch.dtype]]) -> list[Tensor]:
    """Tensors as described; none of a layer or a configuration whose attributes are missing or of another kind."""
    try:
        return [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in described]
    except BaseException as error:
        pass_on(error)
        return []


def _arrangements(model: nn.Module, tensor: Tensor) -> Iterator[Inputs]:
    """The same tensor as the one argument, as several, or as a list of samples."""
    required = required_parameters(model)
    first_name = required[0].name if required else ""
    annotation = text_of(required[0].annotation).lower() if required else ""
    if "list" in annotation or first_name in ("images", "batched_inputs"):
        samples = [torch.empty(tensor.shape[1:], dtype=tensor.dtype, device="meta") for _ in range(BATCH)]
        yield Inputs((samples,), assumed=True)
    copies = [torch.empty_like(tensor) for _ in range(max(1, len(required)))]
    yield Inputs(tuple(copies), assumed=True)


def required_parameters(model: nn.Module) -> list[inspect.Parameter]:
    """The positional parameters of a model's `forward` that have no default."""
    return [p for p in positional_parameters(model) if p.default is p.empty]


def _float_dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in parameters(model) if p.is_floating_point()), torch.float32)


def _from_configuration(model: nn.Module, dtype: torch.dtype) -> Iterator[tuple[tuple[int, ...], torch.dtype]]:
    for name in ("pretrained_cfg", "default_cfg"):
        configuration = attribute(model, name)
        size = _entry(configuration, "input_size")
        if isinstance(size, (tuple, list)) and all(isinstance(n, int) for n in size):
            yield (BATCH, *size), dtype
    configuration = attribute(model, "config")
    if isinstance(_entry(configuration, "vocab_size"), int):
        yield (BATCH, 16), torch.int64
    image = _entry(configuration, "image_size")
    channels = _entry(configuration, "num_channels")
    if isinstance(image, int):
        yield (BATCH, channels if isinstance(channels, int) else 3, image, image), dtype


def _entry(configuration: Any, name: str) -> Any:
    return configuration.get(name) if isinstance(configuration, dict) else getattr(configuration, name, None)


_KNOWN = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear,
    nn.Embedding, nn.RNNBase, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm,
)  # fmt: skip


def first_layers(model: nn.Module) -> list[nn.Module]:
    """The first layers from which an input can be inferred, in the order of the module tree."""
    layers: list[nn.Module] = [module for _, module in named_modules(model) if isinstance(module, _KNOWN)]
    return layers[:_FIRST_LAYERS]


def _from_layer(module: nn.Module) -> Iterator[tuple[tuple[int, ...], torch.dtype | None]]:
    """Shapes that a layer accepts, with its dtype where that is not the model's."""
    match module:
        case nn.Conv2d() | nn.ConvTranspose2d():
            yield from (((BATCH, module.in_channels, size, size), None) for size in _IMAGE_SIZES)
        case nn.Conv3d() | nn.ConvTranspose3d():
            yield from (((BATCH, module.in_channels, frames, size, size), None) for frames, size in _VIDEO_SIZES)
        case nn.Conv1d() | nn.ConvTranspose1d():
            yield from (((BATCH, module.in_channels, length), None) for length in _LENGTHS)
            yield from (((BATCH, length, module.in_channels), None) for length in _LENGTHS[:1])
            yield from (((BATCH, length), None) for length in _LENGTHS[:1])
        case nn.Linear():
            yield (BATCH, module.in_features), None
            yield (BATCH, _LENGTHS[0], module.in_features), None
            side = int(module.in_features**0.5)
            if side * side == module.in_features:
                yield (BATCH, 1, side, side), None
            yield from _image_of(module.in_features)
        case nn.Embedding():
            yield (BATCH, 16), torch.int64
            yield (BATCH,), torch.int64
        case nn.RNNBase():
            yield ((BATCH, 16, module.input_size) if module.batch_first else (16, BATCH, module.input_size)), None
        case nn.BatchNorm1d():
            yield (BATCH, module.num_features), None
            yield (BATCH, module.num_features, _LENGTHS[0]), None
        case nn.BatchNorm2d():
            yield from (((BATCH, module.num_features, size, size), None) for size in _IMAGE_SIZES[:2])
        case nn.BatchNorm3d():
            yield (BATCH, module.num_features, 8, 32, 32), None
        case nn.LayerNorm():
            yield (BATCH, _LENGTHS[0], *module.normalized_shape), None


def _image_of(features: int) -> Iterator[tuple[tuple[int, ...], torch.dtype | None]]:
    side = round((features / 3) ** 0.5)
    if 3 * side * side == features:
        yield (BATCH, 3, side, side), None
