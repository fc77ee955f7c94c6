"""A model as it was written, without what only forwards to it: `torch.compile` and data parallel training."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from torch import nn

from bnlint.artifacts.wrappers import inside_compiled, inside_wrappers
from bnlint.tracing.copying.atoms import ATOMIC_TYPES
from bnlint.tracing.copying.containers import PLAIN_DICTS
from bnlint.tracing.copying.reach import reached
from bnlint.tracing.copying.structural_copy import StructuralCopy
from bnlint.tracing.copying.tensors import same_tensor
from bnlint.tracing.sound_tree import sound_tree


@dataclass(frozen=True)
class Unwrapped:
    """A model without wrappers.

    Attributes:
        module: The model inside; where parts of it are wrapped, or functions that it holds, a copy of its modules that
            shares all tensors with it.
        copied: That copy; `None` where the module is the user's own.
    """

    module: nn.Module
    copied: StructuralCopy | None = None

    def give_back(self) -> None:
        """Do to the user's own modules what was done to the copy: parameters and modules that were put there."""
        copied = self.copied
        if copied is None:
            return
        for new in copied.modules:
            original = copied.originals[id(new)]
            for table in ("_parameters", "_modules"):
                own = vars(original)[table]
                for name, item in vars(new)[table].items():
                    before = own.get(name)
                    if item is not (None if before is None else copied.memo_of(before)):
                        own[name] = item


def unwrapped(model: nn.Module) -> Unwrapped:
    """Take the wrappers off a model; the model is not changed, and nothing is compiled.

    Names are then those of the model inside, as they are in its weights and in a file of it.

    Raises:
        NotAnalysedError: The modules of the model cannot be listed, or it holds what cannot be copied.
    """
    model = inside_wrappers(model)
    if "torch._dynamo" not in sys.modules:
        return Unwrapped(model)
    readable = sound_tree(model).model
    if not _holds_compiled(readable):
        return Unwrapped(model)
    copied = StructuralCopy(readable, same_tensor)
    return Unwrapped(copied.module, copied)


def _holds_compiled(model: nn.Module) -> bool:
    """Whether a module of a model, or a function that one holds, is a wrapper of `torch.compile`."""
    pending, seen = [model], {id(model)}
    while pending:
        module = pending.pop()
        if inside_compiled(module) is not None:
            return True
        for name, value in object.__getattribute__(module, "__dict__").items():  # a class may answer otherwise
            kind = type(value)
            if kind in ATOMIC_TYPES or (kind in PLAIN_DICTS and not value) or name in ("_parameters", "_buffers"):
                continue
            for item in reached(value):
                if inside_compiled(item) is not None:
                    return True
                if isinstance(item, nn.Module) and id(item) not in seen:
                    seen.add(id(item))
                    pending.append(item)
    return False
