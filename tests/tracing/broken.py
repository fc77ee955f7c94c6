"""Modules any part of which raises, for the tests that nothing else than a sentence comes of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.tracing.proof import block


class Own(BaseException):
    """What no `except Exception` catches."""


class Mute(Exception):
    """Cannot be told of."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class MuteOwn(Mute, Own):
    """Both."""


EXCEPTIONS: tuple[type[BaseException], ...] = (
    RuntimeError, AttributeError, KeyError, TypeError, ValueError, NotImplementedError, StopIteration, AssertionError,
    RecursionError, MemoryError, OSError, ImportError, UnicodeError, ZeroDivisionError, SystemExit, KeyboardInterrupt,
    GeneratorExit, Own, Mute, MuteOwn,
)  # fmt: skip

_BUILDING = {"__new__", "__init__", "__init_subclass__", "__del__", "__class_getitem__", "__subclasshook__", "__dict__"}
"""Without these there is no object, or nobody hears of what it raises."""

PARTS = sorted(
    ({*dir(nn.BatchNorm2d(3)), *dir(nn.Conv2d(3, 3, 1)), "__len__", "__iter__", "__bool__", "__getattribute__"}
    | {"__contains__", "__getitem__", "__deepcopy__", "__copy__", "__torch_function__", "__instancecheck__"}
    | {"config", "default_cfg", "pretrained_cfg", "inplace", "p"}) - _BUILDING
)  # fmt: skip
"""What can be asked of a module: the attributes, methods and properties of every one, and some that few have."""


def breaking(base: type[nn.Module], part: str, error: type[BaseException], as_property: bool) -> type[nn.Module]:
    """A subclass of which one part raises once `armed` is set on the class."""

    def fail(self: Any, *_: Any, **__: Any) -> Any:
        raise error("it is broken")

    def fail_if_armed(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kind.armed:  # type: ignore[attr-defined]
            fail(self)
        own = getattr(super(kind, self), part)
        return own if as_property else own(*args, **kwargs)

    def keep(self: Any, value: Any) -> None:
        object.__getattribute__(self, "__dict__")[part] = value

    value = property(fail_if_armed, keep) if as_property else fail_if_armed
    kind: type[nn.Module] = type(
        f"Broken{base.__name__}", (base,), {"__module__": __name__, part: value, "armed": False}
    )
    return kind


def break_it(module: nn.Module, part: str, error: type[BaseException], as_property: bool) -> None:
    """Break a module that is whole."""
    kind = breaking(type(module), part, error, as_property)
    object.__setattr__(module, "__class__", kind)
    kind.armed = True  # type: ignore[attr-defined]


PLACES = ("root", "container", "conv", "norm")


def model_with(place: str, part: str, error: type[BaseException], as_property: bool) -> nn.Module:
    """Convolution, BatchNorm, ReLU, then a block that is whole; one of the modules is broken."""
    torch.manual_seed(0)

    whole = nn.Sequential(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), nn.ReLU(), block()).eval()
    modules = {"root": whole, "container": whole[0], "conv": whole[0][0], "norm": whole[0][1]}
    break_it(modules[place], part, error, as_property)
    return whole


class Refuses(Tensor):
    """A tensor of whose class no function of torch may ask anything."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise Own(f"not {func.__name__}")
