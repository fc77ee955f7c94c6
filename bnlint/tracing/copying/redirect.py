"""A module of the original that is called while a copy runs: its copy is called instead."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn


@contextlib.contextmanager
def calls_redirected(copies: Mapping[int, nn.Module]) -> Iterator[None]:
    """Call copies, in this thread, whatever holds the originals: a global, a class attribute, a default argument.

    A copy has the class, the attributes and the tensors' values of its original, so a call of it gives the same. Only
    calls are redirected; what reads the weights of an original goes on, and is refused.

    Args:
        copies: The copy of each module by the identity of the original.
    """
    call, thread = nn.Module.__call__, threading.get_ident()

    def redirected(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        copy = copies.get(id(module))
        if copy is None or threading.get_ident() != thread:
            return call(module, *args, **kwargs)
        return copy(*args, **kwargs)

    nn.Module.__call__ = redirected  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = call  # type: ignore[method-assign]
