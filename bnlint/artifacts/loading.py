"""Loading weights into a module: all of them, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bnlint.artifacts.names import strip_wrappers
from bnlint.artifacts.user_code import first_line
from bnlint.errors import NotAnalysedError

if TYPE_CHECKING:
    from torch import Tensor, nn

_COUNTER = "num_batches_tracked"


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> tuple[str, ...]:
    """Load weights into a module, if they fit it exactly.

    Wrapper prefixes do not count, on either side. Batch counters may be absent from the file, as they are in
    checkpoints from before torch 0.4.1, or be absent from the model, as they are in frozen BatchNorm layers.

    Args:
        module: The model; it is left as it is unless everything fits.
        tensors: The weights by name.
        name: What the user called the weights file.

    Returns:
        Notes for the report.

    Raises:
        NotAnalysedError: Keys are missing, unexpected or of another shape.
    """
    import torch

    own = {key: value for key, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    own_names, _ = strip_wrappers(own)
    given_names, _ = strip_wrappers(tensors)
    missing = [short for short in own_names if short not in given_names]
    unexpected = [short for short in given_names if short not in own_names]
    lost = [key for key in missing if not _is_counter(key)]
    extra = [key for key in unexpected if not _is_counter(key)]
    fitting = {stored: tensors[given_names[short]] for short, stored in own_names.items() if short in given_names}
    shapes = [key for key, tensor in fitting.items() if not _same_shape(tensor, own[key])]
    if lost or extra or shapes:
        wrong = (_count(lost, "missing"), _count(extra, "unexpected"), _count_shapes(shapes, fitting, own))
        cause = f"`{name}` does not fit the model `{type(module).__name__}`: {', '.join(filter(None, wrong))}."
        hint = "Build the model with the arguments that the weights were made with, by `--kwargs`."
        raise NotAnalysedError(cause, hint)
    try:
        module.load_state_dict(fitting, strict=False)
    except Exception as error:  # a model may have its own loading code
        cause = f"`{name}` cannot be loaded into the model: {type(error).__name__}: {first_line(error)}."
        raise NotAnalysedError(cause) from error
    return _counter_notes(missing, unexpected, name)


def _is_counter(key: str) -> bool:
    return key.rpartition(".")[2] == _COUNTER


def _same_shape(given: Tensor, own: Tensor) -> bool:
    from torch.nn.parameter import is_lazy

    return is_lazy(own) or given.shape == own.shape


def _count(keys: list[str], what: str) -> str:
    if not keys:
        return ""
    return f"{len(keys)} {'key is' if len(keys) == 1 else 'keys are'} {what} (first `{keys[0]}`)"


def _count_shapes(keys: list[str], given: Mapping[str, Tensor], own: Mapping[str, Any]) -> str:
    if not keys:
        return ""
    first = keys[0]
    shapes = f"{_shape(given[first])} in the file, {_shape(own[first])} in the model"
    return f"{len(keys)} {'key has' if len(keys) == 1 else 'keys have'} another shape (first `{first}`: {shapes})"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single value"


def _counter_notes(missing: list[str], unexpected: list[str], name: str) -> tuple[str, ...]:
    notes = []
    if missing:
        notes.append(f"`{name}` has no `{_COUNTER}` for {len(missing)} of the model's layers.")
    if unexpected:
        notes.append(f"`{name}` has `{_COUNTER}` for {len(unexpected)} layers of the model that keep none.")
    return tuple(notes)
