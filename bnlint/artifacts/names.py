"""Names of weights: what wrappers put before and between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_LEADING: Final = ("module.", "_orig_mod.", "_fsdp_wrapped_module.")
"""What DataParallel and DistributedDataParallel, torch.compile and FSDP put before every name."""

_INNER: Final = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What torch.compile, FSDP and activation checkpointing of single layers put into names."""

_FLAT: Final = frozenset({"_flat_param", "flat_param"})
"""What FSDP calls the one tensor that holds all parameters of a unit; the second before torch 2.0."""

FLAT_REMEDY: Final = "Gather a full state_dict: `StateDictType.FULL_STATE_DICT`, or `get_model_state_dict`."


def is_flat(name: str) -> bool:
    """Whether a name is that of a flat parameter of FSDP, in which layers have lost their names."""
    return name.rpartition(".")[2] in _FLAT


def joined(path: str, name: str) -> str:
    """The path, or full name, of what a module at a path calls by a name; the path of the root is empty."""
    return f"{path}.{name}" if path else name


def wrapper_prefix(names: Iterable[str]) -> str:
    """The longest chain of wrapper names that every name begins with; empty where there is none."""
    names = tuple(names)
    if not names:
        return ""
    first, last = min(names), max(names)  # what these two begin with, all do
    shortest, end = min(map(len, names)), 0
    while True:
        wrapper = next((w for w in _LEADING if first.startswith(w, end) and last.startswith(w, end)), "")
        if not wrapper or end + len(wrapper) >= shortest:  # a name is no wrapper of itself
            return first[:end]
        end += len(wrapper)


def strip_wrappers(names: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Remove what wrappers have put into names of weights.

    Args:
        names: Names of tensors as stored.

    Returns:
        The stored name for each short name, in the same order, and a note for each kind of removal.
    """
    names = tuple(names)
    prefix = wrapper_prefix(names)
    notes = [f"The prefix `{prefix}` was removed from the names of the weights."] if prefix else []
    short = {name: name.removeprefix(prefix) for name in names}
    text = "\n".join(names)  # to look through at once: most files have none of this
    for wrapper in _INNER:
        if wrapper not in text:
            continue
        changed = {name: left.replace(f".{wrapper}", ".").removeprefix(wrapper) for name, left in short.items()}
        if changed != short and len(set(changed.values())) == len(changed):
            notes.append(f"`{wrapper}` was removed from within the names of the weights.")
            short = changed
    flat = [name for name in short.values() if is_flat(name)] if any(name in text for name in _FLAT) else []
    if flat:
        notes.append(f"`{flat[0]}` is a flat parameter of FSDP, which hides its layers. {FLAT_REMEDY}")
    return {text: name for name, text in short.items()}, tuple(notes)


def common_prefix(names: Iterable[str], wanted: Iterable[str]) -> str:
    """What stands before every name of a file, where the rest of them is what is wanted.

    A LightningModule that keeps its network as `self.net` saves every weight as `net.…`.

    Args:
        names: Names of the weights in a file.
        wanted: Names of the weights of a model.

    Returns:
        The prefix with its point; empty where there is none, or where what is left are not the wanted names.
    """
    names, wanted = tuple(names), frozenset(wanted)
    shortest = min(names, key=len, default="")
    prefix = shortest[: max(0, len(shortest) - min(map(len, wanted), default=0))]  # no other length is possible
    if not prefix.endswith(".") or not all(name.startswith(prefix) for name in names):
        return ""
    return prefix if {name.removeprefix(prefix) for name in names} == wanted else ""


def strip_paths(paths: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Remove from paths of modules what `strip_wrappers` removes from the names of their weights.

    Args:
        paths: Paths of modules as stored.
        names: Names of all tensors as stored.

    Returns:
        The stored path for each short one, without the paths of the wrappers themselves.
    """
    names = tuple(names)
    prefix = wrapper_prefix(names)
    left = tuple(f".{text}" for text in strip_wrappers(names)[0])
    removed = [wrapper for wrapper in _INNER if not any(f".{wrapper}" in text for text in left)]
    found: dict[str, str] = {}
    for path in paths:
        text = f".{path.removeprefix(prefix)}."
        if prefix and not f"{path}.".startswith(prefix):
            continue
        for wrapper in removed:
            text = text.replace(f".{wrapper}", ".")
        found[text.strip(".") if f"{path}." != prefix else ""] = path  # what is wrapped comes after its wrapper
    return found
