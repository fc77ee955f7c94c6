"""What a copy may share with the original: values that nothing can be written to, and the code of libraries."""

from __future__ import annotations

import enum
import re
import sys
import types
from pathlib import Path

import torch
from torch._ops import OperatorBase, OpOverloadPacket
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ATOMIC = (
    type(None), bool, int, float, complex, str, bytes, type, types.ModuleType, range, slice,
    torch.dtype, torch.device, torch.Size, torch.memory_format, enum.Enum, OperatorBase, OpOverloadPacket,
    types.CodeType, types.FrameType, re.Pattern, torch.fx.Graph, torch.fx.Node, TorchDispatchMode, TorchFunctionMode,
)  # fmt: skip
ATOMIC_TYPES = frozenset(ATOMIC)

STANDARD = frozenset(sys.stdlib_module_names) | {"numpy", "builtins"}
"""Top-level packages whose objects are no part of a model, unless they hold a part of it."""

_LIBRARIES = STANDARD | {"torch", "bnlint"}
_TORCH = str(Path(torch.__file__).parent)


def is_standard(kind: type) -> bool:
    """Whether a class comes from Python or numpy, rather than from the user or a library of models."""
    return kind.__module__.partition(".")[0] in STANDARD


def is_of_a_library(thing: type | types.FunctionType | types.ModuleType) -> bool:
    """Whether code keeps no state of a model: that of Python, numpy, torch and bnlint."""
    if isinstance(thing, types.FunctionType):
        name = thing.__globals__.get("__name__", "")
    else:
        name = thing.__name__ if isinstance(thing, types.ModuleType) else thing.__module__
    return isinstance(name, str) and name.partition(".")[0] in _LIBRARIES


def is_torch_code(function: types.FunctionType) -> bool:
    """Whether a function was written in torch, also one that it made around a function of the user's."""
    return function.__code__.co_filename.startswith(_TORCH)
