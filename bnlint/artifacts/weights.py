"""Weights by name: finding them in a checkpoint, and removing the prefixes of wrappers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bnlint.errors import NotAnalysedError

if TYPE_CHECKING:
    from torch import Tensor, nn

_WRAPPERS: Final = ("module.", "_orig_mod.")
"""What DataParallel and DistributedDataParallel, and torch.compile, put before every name."""

_USUAL_ENTRIES: Final = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the weights in a checkpoint, in the order in which they are tried."""


@dataclass(frozen=True)
class Weights:
    """Tensors read from a file.

    Attributes:
        tensors: By name, without wrapper prefixes.
        form: `state_dict` or `safetensors`.
        notes: Remarks on how they were found.
    """

    tensors: Mapping[str, Tensor]
    form: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SavedModule:
    """A whole module found in a file.

    Attributes:
        module: The module.
        notes: Remarks on how it was found.
    """

    module: nn.Module
    notes: tuple[str, ...] = ()


def wrapper_prefix(names: Iterable[str]) -> str:
    """The longest chain of `module.` and `_orig_mod.` that every name begins with; empty where there is none."""
    names = tuple(names)
    prefix = ""
    while names:
        longer = (prefix + wrapper for wrapper in _WRAPPERS)
        shared = next((p for p in longer if all(n.startswith(p) and n != p for n in names)), None)
        if shared is None:
            break
        prefix = shared
    return prefix


def strip_wrappers(names: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Remove the wrapper prefix that all names share.

    Args:
        names: Names of tensors as stored.

    Returns:
        The stored name for each short name, in the same order, and a note where something was removed.
    """
    names = tuple(names)
    prefix = wrapper_prefix(names)
    notes = (f"The prefix `{prefix}` was removed from the names of the weights.",) if prefix else ()
    return {name.removeprefix(prefix): name for name in names}, notes


def find_weights(saved: Any, name: str) -> Weights | SavedModule:
    """Find the weights, or the module, in what a file holds.

    Args:
        saved: The object that was saved: a state_dict, a checkpoint around one, or a module.
        name: What the user called the file.

    Returns:
        The tensors without wrapper prefixes, or the module.

    Raises:
        NotAnalysedError: There are no weights in it, or several sets of them.
    """
    from torch import nn

    entry = _entry(saved, name) if isinstance(saved, Mapping) else None
    inner = saved if entry is None else saved[entry]
    notes = () if entry is None else (f"The entry `{entry}` of the checkpoint was read.",)
    if isinstance(inner, nn.Module):
        return SavedModule(inner, notes)
    tensors = _tensors(inner)
    if not tensors:
        cause = f"`{name}` holds {_describe(saved)}, not a model or its weights."
        raise NotAnalysedError(cause, "Save `model.state_dict()` instead.")
    names, prefix_notes = strip_wrappers(tensors)
    by_short_name = {short: tensors[stored] for short, stored in names.items()}
    return Weights(by_short_name, "state_dict", (*notes, *prefix_notes))


def _entry(saved: Mapping[Any, Any], name: str) -> str | None:
    """The entry that holds the module or the weights; `None` where the mapping itself may be the state_dict."""
    from torch import nn

    # A checkpoint may have a tensor or two of its own, such as the loss or the state of a random generator.
    own = len(_tensors(saved))
    entries = [key for key, value in saved.items() if isinstance(value, nn.Module) or len(_tensors(value)) > own]
    usual = next((key for key in _USUAL_ENTRIES if key in entries), None)
    if usual is not None:
        return usual
    if len(entries) > 1:
        cause = f"`{name}` holds several sets of weights: {', '.join(f'`{entry}`' for entry in entries)}."
        raise NotAnalysedError(cause, "Save the one to be checked to a file of its own.")
    return entries[0] if entries else None


def _tensors(value: Any) -> dict[str, Tensor]:
    """The tensors of a state_dict; none where the value is anything else."""
    from torch import Tensor

    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return {}
    return {key: item for key, item in value.items() if isinstance(item, Tensor)}


def _describe(saved: Any) -> str:
    from torch import Tensor

    if isinstance(saved, Tensor):
        return f"a bare tensor of shape {'x'.join(map(str, saved.shape)) or '()'}"
    if isinstance(saved, Mapping):
        return f"a `{type(saved).__name__}` without tensors" if saved else f"an empty `{type(saved).__name__}`"
    return f"a `{type(saved).__name__}`"
