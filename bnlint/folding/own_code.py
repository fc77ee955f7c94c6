"""Whether a model's own code could notice that layers are folded, told by the names in it: most need no second run.

A `forward` that only calls its layers cannot. One that reads an attribute which a layer has, lists modules, or asks for
classes may, and so may all code whose names do not tell what it does.
"""

from __future__ import annotations

import builtins
import dis
import types
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import nn

from bnlint.folding.plan import Plan
from bnlint.tracing.copying.atoms import ATOMIC_TYPES
from bnlint.tracing.copying.reach import reached
from bnlint.tracing.live import named_modules, submodule

_HARMLESS_BUILTINS: Final = frozenset({
    "abs", "all", "any", "bool", "dict", "divmod", "enumerate", "filter", "float", "int", "len", "list", "map", "max",
    "min", "pow", "print", "range", "reversed", "round", "set", "slice", "sorted", "sum", "super", "tuple", "zip",
    "__build_class__", "True", "False", "None",
})  # fmt: skip
_OF_TENSORS_TOO: Final = frozenset(dir(torch.Tensor)) - {"type", "apply_", "__class__", "__dict__"}
_OF_MODULES: Final = (
    (frozenset(dir(nn.Module)) | {"_modules", "_parameters", "_buffers"}) - _OF_TENSORS_TOO - {"forward"}
)
"""Names by which code looks into a module; those that tensors have as well do no harm to a module without them."""

_CLASSES: Final = frozenset(name for name, value in vars(nn).items() if isinstance(value, type))
_CONTAINERS: Final = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
_TABLES: Final = ("_modules", "_parameters", "_buffers")
_LONGEST: Final = 1000


def may_notice(model: nn.Module, plan: Plan) -> bool:
    """Whether code that a forward of the model may run could tell a folded model from the original.

    Args:
        model: The model; nothing of it is run.
        plan: What is to be folded.

    Returns:
        False only where the names in the code rule it out.
    """
    try:
        return _Reader(model, plan).notices()
    except Exception:  # classes of the user's own, asked for what they hold
        return True


class _Reader:
    def __init__(self, model: nn.Module, plan: Plan) -> None:
        self._modules = [module for _, module in named_modules(model)]
        self._classes = {cls for module in self._modules for cls in type(module).__mro__ if not _of_torch(cls)}
        changed = {path for fold in plan.folds for path in (fold.layer, *fold.into)}
        layers = [submodule(model, path) for path in changed]
        names = {
            name
            for layer in layers
            for holder in (vars(layer), layer._parameters, layer._buffers, layer._modules)
            for name in holder
        }
        self._telling = (names - set(vars(nn.Module()))) | _OF_MODULES | _CLASSES
        self._inside = {id(layer) for layer in layers}
        self._seen: set[types.CodeType] = set()
        self._waiting: list[Any] = []

    def notices(self) -> bool:
        for module in self._modules:
            if self._is_opaque(module):
                return True
            own = vars(module)
            if any(isinstance(item, nn.Module) for item in self._beside_the_tree(own)):
                return True  # it can call a layer in another way than by its name
            hooks = (value for name, value in own.items() if name.endswith("hooks") and value)
            self._waiting += [hook for held in hooks for hook in held.values()]
            self._waiting += [value for value in own.values() if callable(value) and not isinstance(value, nn.Module)]
            self._waiting += self._methods("forward", type(module))
        while self._waiting:
            if self._tells(self._waiting.pop()):
                return True
        return False

    def _beside_the_tree(self, own: dict[str, Any]) -> Iterator[Any]:
        others = (value for name, value in own.items() if name not in _TABLES and type(value) not in ATOMIC_TYPES)
        return (item for value in others if value for item in reached(value))

    def _is_opaque(self, module: nn.Module) -> bool:
        """Whether a class of torch's own reads layers that change."""
        if not _of_torch(type(module)) or isinstance(module, _CONTAINERS):
            return False
        return any(id(child) in self._inside for _, child in named_modules(module) if child is not module)

    def _methods(self, name: str, cls: type | None = None) -> Iterator[Any]:
        for owner in self._classes if cls is None else cls.__mro__:
            if name in vars(owner) and not _of_torch(owner):
                yield vars(owner)[name]

    def _tells(self, value: Any) -> bool:
        """Whether a function may; what it calls waits for its turn."""
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, property):
            value = value.fget
        if _of_torch(value):
            return False
        if not isinstance(value, types.FunctionType):
            return self._harms(value)
        held = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        others = [cell.cell_contents for name, cell in held if name != "__class__"]
        return any(map(self._harms, others)) or self._code_tells(value.__code__, value.__globals__)

    def _code_tells(self, code: types.CodeType, scope: dict[str, Any]) -> bool:
        if code in self._seen:
            return False
        self._seen.add(code)
        for instruction in dis.get_instructions(code):
            name = str(instruction.argval)
            if instruction.opcode not in dis.hasname:
                continue
            if name in self._telling or instruction.opname.startswith("IMPORT"):
                return True
            if not instruction.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME")):
                self._waiting += self._methods(name)
            elif self._harms(scope[name]) if name in scope else _is_telling_builtin(name):
                return True
        inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
        return any(self._code_tells(function, scope) for function in inner)

    def _harms(self, value: Any) -> bool:
        """Whether what code can reach by a name of its scope may tell; a function waits for its turn."""
        if isinstance(value, _PLAIN) or _of_torch(value) or (isinstance(value, type) and value in self._classes):
            return False
        if isinstance(value, types.FunctionType):
            self._waiting.append(value)
            return False
        if isinstance(value, (list, tuple, set, frozenset)) and len(value) < _LONGEST:
            return any(map(self._harms, value))
        if isinstance(value, dict) and len(value) < _LONGEST:
            return any(map(self._harms, value.values()))
        return not (isinstance(value, types.ModuleType) and value.__name__ in ("math", "typing"))


def _of_torch(value: Any) -> bool:
    if isinstance(value, types.ModuleType):
        name = value.__name__
    elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        name = value.__module__ or "torch"  # functions of torch's own in C have none
    else:
        return False
    return name == "torch" or name.startswith("torch.") or name == "math"


def _is_telling_builtin(name: str) -> bool:
    value = getattr(builtins, name, None)
    is_error = isinstance(value, type) and issubclass(value, BaseException)
    return name not in _HARMLESS_BUILTINS and not is_error
