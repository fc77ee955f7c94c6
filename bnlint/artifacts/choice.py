"""Which of several models or sets of weights in a file is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bnlint.errors import NotAnalysedError, UsageError

if TYPE_CHECKING:
    from bnlint.artifacts.inert.contents import Entry

_USUAL_ENTRIES: Final = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep what they train, in the order in which it is looked for."""

_MOST_LISTED: Final = 12
"""Keys that a message names."""


def choose(entries: tuple[Entry, ...], key: str, name: str) -> Entry:
    """Choose one of several models or sets of weights in a file.

    Args:
        entries: What the file offers, at least one.
        key: What the user asks for; empty for the usual one.
        name: What the user called the file.

    Raises:
        NotAnalysedError: There are several, none has a usual name, and none was asked for.
        UsageError: What was asked for is not there.
    """
    if key:
        chosen = [entry for entry in entries if entry.key == key or entry.key.startswith(f"{key}.")]
        if not chosen:
            choices = [entry for entry in entries if entry.key]
            hint = (
                f"It has {_listed(choices)}." if choices else "It holds one model or set of weights: leave `--key` out."
            )
            raise UsageError(f"`{name}` has no `{key}`.", hint)
        return chosen[0]
    worthy = _worthy(entries)
    if len(worthy) == 1:
        return worthy[0]
    for usual in _USUAL_ENTRIES:
        for entry in worthy:
            if entry.key == usual or entry.key.startswith(f"{usual}."):
                return entry
    cause = f"`{name}` holds several models or sets of weights: {_listed(worthy)}."
    raise NotAnalysedError(cause, "Choose one with `--key`.")


def remark(chosen: Entry, entries: tuple[Entry, ...], key: str) -> str:
    """What the report says of a choice.

    Args:
        chosen: What was chosen; it has a key.
        entries: What the file offers.
        key: What the user asked for; empty if nothing.
    """
    others = [] if key else [entry for entry in _worthy(entries) if entry.key and entry is not chosen]
    rest = f"; `--key` chooses another: {_listed(others)}" if others else ""
    return f"The entry `{chosen.key}` of the checkpoint was read{rest}."


def _worthy(entries: tuple[Entry, ...]) -> list[Entry]:
    """Leave out what is no model: a loss module, or a tensor or two such as the state of a random generator."""
    largest = max(_size(entry) for entry in entries)
    least = largest if any(entry.keys for entry in entries) else 0
    return [
        entry
        for entry in entries
        if (entry.modules and (_size(entry) or not largest))
        or 2 * _size(entry) >= (largest if entry.keys else 2 * least)
    ]


def _size(entry: Entry) -> int:
    return len(entry.tensors) + sum(len(module.tensors) for module in entry.modules)


def _listed(entries: list[Entry]) -> str:
    names = [f"`{entry.key}`" for entry in entries[:_MOST_LISTED]]
    return ", ".join(names) + (f" and {len(entries) - _MOST_LISTED} more" if len(entries) > _MOST_LISTED else "")
