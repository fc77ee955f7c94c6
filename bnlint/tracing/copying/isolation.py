"""A run of a copy that leaves the original alone, whatever ways its code knows back to it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bnlint.tracing.copying.lru_caches import cache_beside
from bnlint.tracing.copying.put_back import PutBack
from bnlint.tracing.copying.reach import reached
from bnlint.tracing.copying.redirect import calls_redirected
from bnlint.tracing.copying.structural_copy import StructuralCopy
from bnlint.tracing.copying.surroundings import holds_cache
from bnlint.tracing.copying.watch import Memory, Watch
from bnlint.tracing.live import named_modules


@contextlib.contextmanager
def isolated(copied: StructuralCopy, *, values: bool, lent: bool = False) -> Iterator[None]:
    """Run the code of a copy.

    Calls of the original's modules go to their copies. What the code writes, in Python, to what it shares with the
    original is put back; caches of functions are not filled; what `torch.compile` has compiled runs as it was written.
    An operation that would touch the memory of the original is refused.

    Args:
        copied: The copy.
        values: Whether the copy holds values. On meta tensors operations are watched only if something leads back.
        lent: Whether the copy shares tensors with the original, which may be read, but not written to.

    Raises:
        LeadsBackError: An operation was refused, also where the code of the model caught the refusal.
    """
    ways = _Ways(copied)
    watch = ways.watch(lent) if values or copied.leads_back else None
    with contextlib.ExitStack() as stack:
        stack.callback(ways.put_back().restore)
        stack.enter_context(_caches_beside(copied))
        stack.enter_context(eagerly())
        if copied.leads_back:
            stack.enter_context(calls_redirected(ways.copies()))
        if watch is not None:
            stack.enter_context(watch)
        yield
    if watch is not None and watch.refused is not None:
        raise watch.refused


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
    """Run what `torch.compile` wrapped as it was written; nothing is compiled."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@dataclass(frozen=True)
class _Ways:
    """The ways by which the code of a copy may come to what it shares with the original."""

    copied: StructuralCopy

    def put_back(self) -> PutBack:
        around = self.copied.around
        shared = (value for _, value in self.copied.shared)
        return PutBack(
            [*shared, *(place.value for place in around.places), *around.holders], around.classes, around.names
        )

    def copies(self) -> dict[int, nn.Module]:
        pairs = ((self.copied.originals[id(module)], module) for module in self.copied.modules)
        return {id(original): module for original, module in pairs}

    def watch(self, lent: bool) -> Watch:
        own = [(tensor, self._path(tensor)) for tensor in self.copied.originals.values() if isinstance(tensor, Tensor)]
        common = [
            (tensor, f"`{path}` of the model itself")
            for tensor, path in own
            if lent or self.copied.memo_of(tensor) is tensor
        ]
        apart = [(tensor, path) for tensor, path in own if not lent and self.copied.memo_of(tensor) is not tensor]
        gradients = [(tensor.grad, path) for tensor, path in own if tensor.is_leaf and tensor.grad is not None]
        found = ((item, place.words) for place in self.copied.around.places for item in reached(place.value))
        seen = [(item, name) for item, name in found if isinstance(item, Tensor) and self.copied.memo_of(item) is None]
        return Watch(Memory([*apart, *gradients]), Memory([*common, *seen]), self._words)

    def _path(self, original: Tensor) -> str:
        return self.copied.tensor_paths.get(id(self.copied.memo_of(original)), "")

    def _words(self, path: str) -> str:
        """Why an operation is refused, with the way back where it is known."""
        holders = [(f"`{where}`", value) for where, value in self.copied.shared]
        holders += [(place.words, place.value) for place in self.copied.around.places]
        way = next((words for words, value in holders if self._leads_to(value, path)), "something that it holds")
        return f"{way} leads back to the model, and a run of a copy would touch `{path}` of the model itself"

    def _leads_to(self, value: Any, path: str) -> bool:
        owner = path.rpartition(".")[0]
        for item in reached(value):
            if isinstance(item, nn.Module):
                copies = (self.copied.memo_of(module) for _, module in named_modules(item))
                if any(self.copied.paths.get(id(copy)) == owner for copy in copies):
                    return True
            elif isinstance(item, Tensor) and self._path(item) == path:
                return True
        return False


@contextlib.contextmanager
def _caches_beside(copied: StructuralCopy) -> Iterator[None]:
    """Stand a cache beside each `functools.lru_cache` that code comes to by a name."""
    known: dict[int, Any] = {}
    replaced = []
    for place in copied.around.places:
        cached = holds_cache(place.value)
        if cached is None or place.put is None:
            continue
        own = partial(copied.copy_of, path=place.name)
        beside = known.setdefault(id(cached), cache_beside(cached, cached.__wrapped__, own))
        replaced.append(place)
        place.put(type(place.value)(beside) if isinstance(place.value, (staticmethod, classmethod)) else beside)
    try:
        yield
    finally:
        for place in replaced:
            place.put(place.value)  # type: ignore[misc]
