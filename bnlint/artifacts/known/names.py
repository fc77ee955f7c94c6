"""Which names in a file are known code: those of `torch.nn`, and of packages that the user admits."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from bnlint.artifacts.current_folder import admitting
from bnlint.artifacts.known.packages import NEURAL_NETWORKS
from bnlint.artifacts.user_code import described, user_code

_DOTTED: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_CONSTANT_TYPES: Final = (torch.dtype, torch.layout, torch.memory_format)
_PLAIN_TYPES: Final = {kind.__name__: kind for kind in (bool, int, float, str, list, tuple, dict, set)}
_OPERATORS: Final = frozenset({
    "abs", "celu", "celu_", "clamp", "cos", "erf", "exp", "flatten", "hardshrink", "log", "log1p", "log_softmax",
    "logit", "mean", "prelu", "relu", "relu_", "rrelu", "rrelu_", "rsqrt", "selu", "selu_", "sigmoid", "sigmoid_",
    "sign", "sin", "softmax", "sqrt", "square", "sum", "tanh", "tanh_",
})  # fmt: skip
"""Operators of `torch` that models keep as attributes, mostly activations. `torch` itself is no place for known code:
`torch.load` and `torch.from_file` are its functions too."""

_NO_VALUE: Final = object()


class NotKnownCodeError(Exception):
    """Something in a file that cannot be made with known code.

    Args:
        words: What it is, such as "a pickled `mine.Hook`".
        why: What keeps it from being made.
    """

    def __init__(self, words: str, why: str = "which is not known code") -> None:
        super().__init__(f"{words}, {why}")


class KnownNames:
    """Finds what a file names, as far as it is known code.

    Nothing of a module is looked up by `getattr`, no name has dots, and only admitted packages are imported.

    Args:
        packages: The packages that the user admits, as `packages.admitted` returns them.
    """

    def __init__(self, packages: Iterable[str]) -> None:
        self._packages = tuple(packages)
        self._modules: dict[str, ModuleType] = {}

    def module_class(self, module: str, name: str) -> type[nn.Module]:
        """The subclass of `nn.Module` that a file names.

        Raises:
            NotKnownCodeError: It is not from known code, cannot be found, or is anything else.
        """
        value = self._own(module, name)
        if not (isinstance(value, type) and issubclass(value, nn.Module)):
            raise NotKnownCodeError(f"`{module}.{name}`", "which is no class of modules")
        return value

    def plain_class(self, module: str, name: str) -> type:
        """The class of objects with attributes, such as a dataclass, that a file names; never one of modules.

        Raises:
            NotKnownCodeError: It is not from an admitted package, or its objects are made in a way of their own.
        """
        value = self._own(module, name)
        if not isinstance(value, type) or issubclass(value, nn.Module) or hasattr(value, "__setstate__"):
            raise NotKnownCodeError(f"a pickled `{module}.{name}`")
        return value

    def enumeration(self, module: str, name: str) -> type[enum.Enum]:
        """The enumeration of an admitted package that a file names.

        Raises:
            NotKnownCodeError: It is anything else.
        """
        value = self._own(module, name)
        if not (isinstance(value, type) and issubclass(value, enum.Enum)):
            raise NotKnownCodeError(f"what `{module}.{name}` would return")
        return value

    def function(self, module: str, name: str) -> Any:
        """The function of torch that a file names, if all that it does is to compute with tensors.

        Raises:
            NotKnownCodeError: It is anything else.
        """
        found = None
        if module in ("torch.nn.functional", "torch._C._nn") and not name.startswith("_"):
            value = vars(functional).get(name)
            written_there = inspect.isfunction(value) and value.__module__ == functional.__name__
            found = value if written_there or inspect.isbuiltin(value) else None
        elif module == "torch" and name in _OPERATORS:
            found = getattr(torch, name)
        if found is None:
            raise NotKnownCodeError(f"the function `{module}.{name}`")
        return found

    def value(self, module: str, name: str) -> Any:
        """A class, function or constant that a file keeps by its name.

        Raises:
            NotKnownCodeError: It is not known code.
        """
        if module in ("builtins", "__builtin__") and name in _PLAIN_TYPES:
            return _PLAIN_TYPES[name]
        if module == "torch" and isinstance(constant := vars(torch).get(name), _CONSTANT_TYPES):
            return constant
        if module.partition(".")[0] == "torch" and not self._is_known(module):
            return self.function(module, name)
        value = self._own(module, name)
        # Functions beside the layers of torch register hooks for all modules.
        if inspect.isfunction(value) and not value.__module__.startswith("torch."):
            return value
        if isinstance(value, type) and issubclass(value, nn.Module):
            return value
        raise NotKnownCodeError(f"`{module}.{name}`")

    def _own(self, module: str, name: str) -> Any:
        """What a module of known code defines under a name; a module may hold it for another one of known code."""
        words = f"`{module}.{name}`"
        if not self._is_known(module) or not _DOTTED.fullmatch(module) or "__" in module or not name.isidentifier():
            raise NotKnownCodeError(words)
        value = vars(self._module(module)).get(name, _NO_VALUE)
        if value is _NO_VALUE:
            raise NotKnownCodeError(words, "which the installed version does not have")
        home = getattr(value, "__module__", None)
        if not isinstance(home, str) or not self._is_known(home):
            raise NotKnownCodeError(words)
        return value

    def _module(self, name: str) -> ModuleType:
        if name not in self._modules:
            self._modules[name] = _imported(name)
        return self._modules[name]

    def _is_known(self, module: str) -> bool:
        return any(module == known or module.startswith(f"{known}.") for known in (NEURAL_NETWORKS, *self._packages))


def _imported(name: str) -> ModuleType:
    if name.partition(".")[0] == "torch":  # all of `torch.nn.modules` is there once torch is
        found = sys.modules.get(name)
        if found is None:
            raise NotKnownCodeError(f"a class of `{name}`", "which the installed torch does not have")
        return found
    try:
        with user_code(), admitting(name):
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        why = f"which cannot be imported ({described(error)})"
        raise NotKnownCodeError(f"a class of `{name}`", why) from error
