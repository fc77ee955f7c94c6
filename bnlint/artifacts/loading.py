"""Loading weights into a module: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bnlint.artifacts.names import FLAT_REMEDY, common_prefix, is_flat, strip_wrappers
from bnlint.artifacts.user_code import described
from bnlint.errors import NotAnalysedError
from bnlint.norms.tensors import COUNTER, STATISTICS

if TYPE_CHECKING:
    from torch import Tensor, nn

_RULES: dict[tuple[str, ...], str] = {
    STATISTICS: ", its running statistics (BN104)",
    **{(name,): ", half of its running statistics (BN512)" for name in STATISTICS},
}
"""What lost buffers are, with the rule that finds it in the file by itself."""


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> tuple[str, ...]:
    """Load weights into a module, if they fit it exactly.

    Wrapper prefixes do not count, on either side, nor does a prefix in the file without which all names fit. Batch
    counters may be absent from the file, as they are in checkpoints from before torch 0.4.1, or be absent from the
    model, as they are in frozen BatchNorm layers.

    Args:
        module: The model; it is left as it is unless everything fits.
        tensors: The weights by name.
        name: What the user called the weights file.

    Returns:
        Notes for the report.

    Raises:
        NotAnalysedError: Keys are missing, unexpected, of another shape, or without values in the file.
    """
    import torch

    own = {key: value for key, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    own_names, _ = strip_wrappers(own)
    given_names, _ = strip_wrappers(tensors)
    prefix = common_prefix(_without_counters(given_names), _without_counters(own_names))
    given_names = {short.removeprefix(prefix): stored for short, stored in given_names.items()}
    missing = [short for short in own_names if short not in given_names]
    unexpected = [short for short in given_names if short not in own_names]
    lost = [key for key in missing if not _is_counter(key)]
    extra = [key for key in unexpected if not _is_counter(key)]
    fitting = {stored: tensors[given_names[short]] for short, stored in own_names.items() if short in given_names}
    shapes = [key for key, tensor in fitting.items() if not _same_shape(tensor, own[key])]
    if lost or extra or shapes:
        wrong = (_count(lost, "missing"), _count(extra, "unexpected"), _count_shapes(shapes, fitting, own))
        cause = f"`{name}` does not fit the model `{type(module).__name__}`: {', '.join(filter(None, wrong))}."
        flat = any(map(is_flat, extra))
        remedy = FLAT_REMEDY if flat else _remedy(module, own_names, lost, only_lost=not extra and not shapes)
        raise NotAnalysedError(cause, remedy)
    unread = [key for key, tensor in fitting.items() if tensor.is_meta]
    if unread:
        cause = f"`{name}` holds no values of {len(unread)} of its tensors (first `{unread[0]}`)."
        raise NotAnalysedError(cause, "Save the weights by `torch.save`, or as safetensors.")
    try:
        module.load_state_dict(fitting, strict=False)
    except Exception as error:  # a model may have its own loading code
        cause = f"`{name}` cannot be loaded into the model: {described(error)}."
        raise NotAnalysedError(cause) from error
    removed = (f"The prefix `{prefix}` was removed from the names of the weights.",) if prefix else ()
    return (*removed, *_counter_notes(missing, unexpected, name))


def _remedy(module: nn.Module, own_names: Mapping[str, str], lost: list[str], *, only_lost: bool) -> str:
    """What to do about weights that do not fit."""
    buffers = {name for name, _ in module.named_buffers(remove_duplicate=False)}
    if not only_lost or any(own_names[short] not in buffers for short in lost):
        return "Build the model with the arguments that the weights were made with, by `--kwargs`."
    kinds = sorted({short.rpartition(".")[2] for short in lost})
    words = ", ".join(f"`{kind}`" for kind in kinds)
    rule = _RULES.get(tuple(kinds), "")
    return f"The file has lost buffers of the model ({words}){rule}: save the whole `state_dict()` of the trained one."


def _without_counters(names: Iterable[str]) -> list[str]:
    return [name for name in names if not _is_counter(name)]


def _is_counter(key: str) -> bool:
    return key.rpartition(".")[2] == COUNTER


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
        notes.append(f"`{name}` has no `{COUNTER}` for {len(missing)} of the model's layers.")
    if unexpected:
        notes.append(f"`{name}` has `{COUNTER}` for {len(unexpected)} layers of the model that keep none.")
    return tuple(notes)
