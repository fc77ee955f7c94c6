"""Real inputs, batch by batch: from a file, a DataLoader or any other iterable."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnlint.artifacts.user_code import described
from bnlint.errors import BnlintError, NotAnalysedError, UsageError
from bnlint.tracing.infer_inputs import required_parameters
from bnlint.tracing.inputs import Inputs, read_values

_SAMPLES_AT_ONCE = 32
"""Samples of a file that make a batch."""


def batches(model: nn.Module, data: object, limit: int) -> Iterator[Inputs]:
    """The first batches of a user's data, as inputs of a model.

    Args:
        model: The model; its `forward` tells labels from inputs.
        data: The name of a `.pt`, `.npz`, `.npy` or `.safetensors` file, a tensor of samples, or an iterable of
            batches, each a tensor, a tuple of tensors or a mapping.
        limit: How many batches.

    Yields:
        Inputs with values.

    Raises:
        UsageError: If the data is no such thing.
        NotAnalysedError: If the data cannot be read, or a file holds no samples.
    """
    iterator = islice(_batches(data), limit)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except BnlintError:
            raise
        except Exception as error:  # the code of the user's loader may raise anything
            cause = f"The data cannot be read: {described(error)}."
            raise NotAnalysedError(cause) from error
        yield inputs_of(model, batch)


def _batches(data: object) -> Iterator[Any]:
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        value = read_values(path)
        if not isinstance(value, (Tensor, Mapping, list, tuple)):
            raise NotAnalysedError(f"The data file {path} holds a {type(value).__name__}, not tensors.")
        return iter(value) if isinstance(value, list) else _cut(value)
    if isinstance(data, (Tensor, Mapping)):
        return _cut(data)
    if not isinstance(data, Iterable):
        raise UsageError(f"data must be a file or an iterable of batches, not {type(data).__name__}.")
    return iter(data)


def _cut(samples: Any) -> Iterator[Any]:
    """Samples along the first axis, cut into batches."""
    if isinstance(samples, Tensor):
        return iter(torch.split(samples, _SAMPLES_AT_ONCE))
    named = samples if isinstance(samples, Mapping) else dict(enumerate(samples))
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor) and value.dim()}
    if len({len(value) for value in tensors.values()}) != 1:
        raise NotAnalysedError("The tensors of the data do not have the same number of samples along their first axis.")
    pieces = zip(*(torch.split(value, _SAMPLES_AT_ONCE) for value in tensors.values()), strict=True)
    if isinstance(samples, Mapping):
        return (dict(zip(tensors, piece, strict=True)) for piece in pieces)
    return iter(pieces)


def inputs_of(model: nn.Module, batch: Any) -> Inputs:
    """What of a batch the model takes: of `(images, labels)` as many as `forward` requires, of a mapping what it names.

    Args:
        model: The model.
        batch: A tensor, a sequence, or a mapping; the first element of a sequence may be a mapping, or a list of
            samples.
    """
    if isinstance(batch, Tensor):
        return Inputs((batch,))
    if isinstance(batch, Mapping) or hasattr(batch, "keys"):
        return _of_mapping(model, dict(batch))
    if not isinstance(batch, Sequence) or isinstance(batch, str) or not batch:
        raise UsageError(f"A batch of the data is a {type(batch).__name__}, not a tensor, a tuple or a mapping.")
    if isinstance(batch[0], (list, tuple)):  # a list of images, as detectors take it
        return Inputs((list(batch[0]),))
    if not isinstance(batch[0], Tensor):
        return inputs_of(model, batch[0])
    return Inputs(tuple(batch[: max(1, len(required_parameters(model)))]))


def _of_mapping(model: nn.Module, batch: dict[str, Any]) -> Inputs:
    parameters = inspect.signature(model.forward).parameters
    taken = {name: value for name, value in batch.items() if name in parameters}
    if taken:
        return Inputs(kwargs=taken)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return Inputs(kwargs=batch)
    return Inputs(tuple(batch.values())[: max(1, len(required_parameters(model)))])
