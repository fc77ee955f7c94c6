"""Module trees that end: every way through them is finite, and there are not too many."""

from __future__ import annotations

import sys
from typing import Final

from torch import nn

MOST_PATHS: Final = 1_000_000
"""Paths to modules. A module that stands in two places has two: sixty levels of such pairs would have 2^60, and
`named_modules(remove_duplicate=False)` would list them all."""


class EndlessTreeError(Exception):
    """A module tree that cannot be walked; the text says why."""


def require_finite(model: nn.Module, deepest: int = sys.maxsize) -> None:
    """Check that no module contains itself, nests without measure, or has paths without number.

    Args:
        model: The root; each module is looked at once.
        deepest: The most levels.

    Raises:
        EndlessTreeError: One does.
    """
    counts: dict[int, int] = {}
    path = [(model, iter(model._modules.values()))]
    on_path = {id(model)}
    while path:
        module, children = path[-1]
        child = next((child for child in children if child is not None and id(child) not in counts), None)
        if child is None:
            inner = (counts[id(child)] for child in module._modules.values() if child is not None)
            counts[id(module)] = 1 + sum(inner)
            if counts[id(module)] > MOST_PATHS:
                raise EndlessTreeError(f"which holds modules under more than {MOST_PATHS} paths")
            on_path.discard(id(module))
            path.pop()
            continue
        if id(child) in on_path or len(path) >= deepest:
            raise EndlessTreeError("which contains itself or nests too deep")
        on_path.add(id(child))
        path.append((child, iter(child._modules.values())))
