"""Puts stand-ins in the place of modules of which nothing can be told, so that the rest of a model can be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from bnlint.artifacts.user_code import described
from bnlint.interruption import pass_on
from bnlint.tracing.live import children, members, named_modules

_LISTED = ("_modules", "_parameters", "_buffers")
_READ_OF_EACH = ("__class__", "__dict__", *_LISTED)
"""What Python and torch ask of a module wherever it goes."""


class StandIn(nn.Module):
    """Takes the place of a module that cannot be read.

    Args:
        module: The module.
        why: What reading it raised.
    """

    stands_for: type[nn.Module] = nn.Module

    def __init__(self, module: nn.Module, why: str) -> None:
        super().__init__()
        self.training = object.__getattribute__(module, "__dict__").get("training") is True
        self.why = why

    def forward(self, *_: Any, **__: Any) -> Any:
        """Refuse to run.

        Raises:
            RuntimeError: Always, with the reason.
        """
        raise RuntimeError(f"{self.stands_for.__name__} cannot be read: {self.why}")


@dataclass(frozen=True)
class Readable:
    """A model that can be read.

    Attributes:
        model: The model itself, or a twin of its tree around the stand-ins; all else is shared with it.
        unread: Why a module has a stand-in, by its path.
    """

    model: nn.Module
    unread: Mapping[str, str]


def readable(model: nn.Module) -> Readable:
    """A model with stand-ins for the modules that cannot be read; the model itself where all can."""
    strange = {id(module): (path, why) for path, module in named_modules(model) if (why := _why_not(module))}
    if not strange:
        return Readable(model, {})
    return Readable(_twin(model, strange, {}), dict(strange.values()))


def _why_not(module: nn.Module) -> str:
    """Why a module cannot be read: what that raises, or that it hides what it holds; empty where it can."""
    own = object.__getattribute__(module, "__dict__")
    try:
        for name in _READ_OF_EACH:
            value = getattr(module, name)
            if name in own and value is not own[name]:
                return f"`{name}` is computed each time that it is read"
            if name in _LISTED:
                [*value.items()]
    except BaseException as error:
        pass_on(error)
        return f"`{name}` raises {described(error)}"
    return ""


def _twin(module: nn.Module, strange: Mapping[int, tuple[str, str]], made: dict[int, nn.Module]) -> nn.Module:
    """A module with twins of its children, where a stand-in is among what it holds."""
    if id(module) in made:
        return made[id(module)]
    own = children(module)
    twins = {name: _twin(child, strange, made) for name, child in own.items()}
    if id(module) in strange:
        cls = type(module)
        new: nn.Module = type(cls.__name__, (StandIn,), {"__module__": cls.__module__, "stands_for": cls})(
            module, strange[id(module)][1]
        )
        new._modules.update(twins)
    elif any(twin is not own[name] for name, twin in twins.items()):
        new = object.__new__(type(module))
        new.__dict__.update(module.__dict__)
        new.__dict__["_modules"] = dict(zip(members(module, "_modules"), twins.values(), strict=True))
    else:
        new = module
    made[id(module)] = new
    return new
