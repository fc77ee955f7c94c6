"""What instances of the classes of `torch.nn` have, as torch itself says."""

from __future__ import annotations

import inspect
import types
from typing import Any, Union, get_origin

from torch import nn


def promised_attributes(kind: type[nn.Module]) -> dict[str, Any]:
    """The attributes that the `forward` of a class of `torch.nn` reads, which it lists in `__constants__`.

    Args:
        kind: A class of modules; what its bases in `torch.nn` promise holds for it.

    Returns:
        Their types by name, as annotated, and a little more lenient; `Any` where torch says none.
    """
    bases = [base for base in reversed(kind.__mro__) if str(base.__module__).startswith("torch.nn.")]
    hints: dict[str, Any] = {}
    for base in bases:
        hints |= inspect.get_annotations(base)  # as they stand: texts are not evaluated, and say nothing here
    promised = {name: hints.get(name, Any) for base in bases for name in vars(base).get("__constants__", ())}
    return {name: Any if isinstance(hint, str) else _lenient(hint) for name, hint in promised.items()}


def _lenient(hint: Any) -> Any:
    """What people and torch itself pass: 1 for True, and None for the other of two ways to say one thing."""
    if hint is bool:
        return bool | int
    return hint | None if get_origin(hint) in (Union, types.UnionType) else hint
