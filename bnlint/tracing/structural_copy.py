"""A structural copy: module objects and their containers are new, the bytes of the tensors are not copied.

A run writes into a model: attention caches, counters, lazily made parameters. Recording therefore happens on a copy
whose parameters and buffers are meta tensors, so that the user's own object is never touched.
"""

from __future__ import annotations

import collections
import copy
import enum
import functools
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._ops import OperatorBase, OpOverloadPacket
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from bnlint.artifacts.names import joined
from bnlint.artifacts.user_code import described
from bnlint.errors import NotAnalysedError
from bnlint.tracing.interruption import pass_on
from bnlint.tracing.live import named_modules
from bnlint.tracing.opaque import ScriptStandIn

TensorCopy = Callable[[Tensor], Tensor]

_ATOMIC = (
    type(None), bool, int, float, complex, str, bytes, type, types.ModuleType, types.BuiltinFunctionType, range, slice,
    torch.dtype, torch.device, torch.Size, torch.memory_format, torch.Generator, enum.Enum, OperatorBase,
    OpOverloadPacket,
)  # fmt: skip
_ATOMIC_TYPES = frozenset(_ATOMIC)
_KEPT_PACKAGES = frozenset(sys.stdlib_module_names) | {"numpy", "builtins"}


def meta_tensor(tensor: Tensor) -> Tensor:
    """A tensor of the same shape, strides, dtype and class of parameter on the meta device, without data.

    Args:
        tensor: A tensor of any shape and dtype on any device.

    Returns:
        A meta tensor; a `Parameter` for a `Parameter`, a lazy one for a lazy one.
    """
    if isinstance(tensor, UninitializedTensorMixin):
        lazy = type(tensor)(requires_grad=tensor.requires_grad, device="meta", dtype=tensor.dtype)
        return cast(Tensor, lazy)
    if (
        tensor.layout is not torch.strided
        or tensor.is_quantized
        or tensor.is_nested
        or type(tensor) not in (Tensor, nn.Parameter, nn.Buffer)
    ):
        return _meta_of_unusual(tensor)
    empty = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")
    if not isinstance(tensor, nn.Parameter):
        return empty
    parameter = nn.Parameter(empty, requires_grad=tensor.requires_grad)
    parameter.__dict__.update(tensor.__dict__)
    return parameter


def _meta_of_unusual(tensor: Tensor) -> Tensor:
    is_parameter = isinstance(tensor, nn.Parameter)
    try:
        empty = torch.empty(tensor.size(), dtype=tensor.dtype, device="meta")
    except (RuntimeError, TypeError, NotImplementedError):
        return tensor
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if is_parameter else empty


def cpu_tensor(tensor: Tensor) -> Tensor:
    """A tensor with the same values in CPU memory; random ones where there are none to copy (meta tensors).

    Args:
        tensor: A tensor of any shape, dtype and device.

    Returns:
        A new tensor, a `Parameter` for a `Parameter`. Values made up for a meta tensor are zeros for integers, ones for
        vectors, and small normal numbers otherwise, so that a run neither overflows nor vanishes.
    """
    if isinstance(tensor, UninitializedTensorMixin):
        return cast(Tensor, copy.deepcopy(tensor))
    with torch.no_grad():
        value = _made_up(tensor) if tensor.is_meta else tensor.detach().to("cpu", copy=True)
    return nn.Parameter(value, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else value


def _made_up(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return torch.zeros(tensor.size(), dtype=tensor.dtype)
    if tensor.dim() < 2:
        return torch.ones(tensor.size(), dtype=tensor.dtype)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(tensor.size(), generator=generator).mul_(0.02).to(tensor.dtype)


class StructuralCopy:
    """Copies a module tree, with the modules that hide in lists, dicts, closures and plain objects.

    Args:
        module: The module to copy.
        tensor_copy: Makes the stand-in of each tensor: `meta_tensor` or `cpu_tensor`.

    Attributes:
        module: The copy.
        paths: Path of each copied module by the identity of the copy. Registered modules have the name that
            `named_modules` gives them, others the way by which they were found (`blocks[3]`).
        registered: Identities of the copies that are in the module tree.
        originals: The original of each copied module or tensor by the identity of the copy.

    Raises:
        NotAnalysedError: An attribute cannot be copied: a chain of ten thousand objects, say.
    """

    def __init__(self, module: nn.Module, tensor_copy: TensorCopy) -> None:
        self._tensor_copy = tensor_copy
        self._memo: dict[int, Any] = {}
        self._alive: list[Any] = []
        self._names = {id(child): name for name, child in named_modules(module)}
        self.paths: dict[int, str] = {}
        self.registered: set[int] = set()
        self.originals: dict[int, Any] = {}
        self.modules: list[nn.Module] = []
        self.tensor_paths: dict[int, str] = {}
        try:
            self.module = cast(nn.Module, self._copy(module, ""))
        except BaseException as error:  # the classes of what it holds may raise anything
            pass_on(error)
            cause = f"The model cannot be copied for a run: {described(error)}."
            raise NotAnalysedError(cause, "Take out of its attributes what is no part of the model.") from error

    def memo_of(self, original: object) -> Any:
        """The copy of an object of the original model."""
        return self._memo[id(original)]

    def _remember(self, value: Any, new: Any) -> Any:
        self._memo[id(value)] = new
        self._alive.append((value, new))
        return new

    def _copy(self, value: Any, path: str) -> Any:
        if type(value) in _ATOMIC_TYPES:
            return value
        known = self._memo.get(id(value))
        if known is not None:
            return known
        if isinstance(value, Tensor):
            return self._copy_tensor(value, path)
        if isinstance(value, nn.Module):
            return self._copy_module(value, path)
        if isinstance(value, dict):
            return self._copy_dict(value, path)
        if isinstance(value, (list, tuple, set, frozenset, collections.deque)):
            return self._copy_sequence(value, path)
        if isinstance(value, _ATOMIC):  # late, for torch.Generator answers in Python
            return value
        if isinstance(value, types.MethodType):
            return self._remember(
                value, types.MethodType(self._copy(value.__func__, path), self._copy(value.__self__, path))
            )
        if isinstance(value, functools.partial):
            arguments = self._copy(list(value.args), path), self._copy(dict(value.keywords), path)
            return self._remember(value, functools.partial(self._copy(value.func, path), *arguments[0], **arguments[1]))
        if isinstance(value, types.FunctionType):
            return self._copy_function(value, path)
        if type(value) is weakref.ref:  # a parent; the dict out of which a handle removes its hook
            target = value()
            return value if target is None else self._remember(value, weakref.ref(self._copy(target, path)))
        return self._copy_object(value, path)

    def _copy_tensor(self, value: Tensor, path: str) -> Tensor:
        new = self._remember(value, self._tensor_copy(value))
        self.originals[id(new)] = value
        self.tensor_paths.setdefault(id(new), path)
        return cast(Tensor, new)

    def _copy_module(self, value: nn.Module, path: str) -> nn.Module:
        registered_name = self._names.get(id(value))
        path = path if registered_name is None else registered_name
        new = ScriptStandIn(value) if isinstance(value, torch.jit.ScriptModule) else object.__new__(type(value))
        self._remember(value, new)
        self.paths[id(new)] = path
        self.originals[id(new)] = value
        self.modules.append(new)
        if registered_name is not None:
            self.registered.add(id(new))
        for name, attribute in () if isinstance(new, ScriptStandIn) else value.__dict__.items():
            if type(attribute) in _ATOMIC_TYPES:
                new.__dict__[name] = attribute
            elif name in ("_parameters", "_buffers", "_modules"):
                new.__dict__[name] = self._copy_dict(attribute, path, members=True)
            else:
                new.__dict__[name] = self._copy(attribute, joined(path, str(name)))
        return new

    def _copy_dict(self, value: dict[Any, Any], path: str, members: bool = False) -> dict[Any, Any]:
        if type(value) in (dict, collections.OrderedDict):
            new = type(value)()
        else:
            try:
                new = copy.copy(value)
            except Exception:  # a mapping that cannot be copied is shared, like any other foreign object
                return value
        self._remember(value, new)
        for key, item in value.items():
            new[key] = self._copy(item, joined(path, str(key)) if members else f"{path}[{key!r}]")
        return new

    def _copy_sequence(self, value: Any, path: str) -> Any:
        items = [self._copy(item, f"{path}[{index}]") for index, item in enumerate(value)]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self._remember(value, type(value)(*items))
        try:
            new = copy.copy(value) if isinstance(value, list) and type(value) is not list else type(value)(items)
        except Exception:  # a sequence class of the user's own with another constructor is shared
            return value
        if isinstance(new, list) and type(new) is not list:
            new[:] = items
        return self._remember(value, new)

    def _copy_function(self, value: types.FunctionType, path: str) -> types.FunctionType:
        cells = value.__closure__
        foreign = not value.__module__.startswith("torch.")
        if cells is None or not any(_holds_module(cell) or (foreign and _can_be_written(cell)) for cell in cells):
            return value
        closure = tuple(types.CellType() for _ in cells)
        new = types.FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, closure)
        new.__kwdefaults__ = value.__kwdefaults__
        self._remember(value, new)
        for cell, new_cell, name in zip(cells, closure, value.__code__.co_freevars, strict=True):
            if not _is_empty(cell):
                new_cell.cell_contents = self._copy(cell.cell_contents, joined(path, str(name)))
        return new

    def _copy_object(self, value: Any, path: str) -> Any:
        root = type(value).__module__.partition(".")[0]
        if root in _KEPT_PACKAGES or not hasattr(value, "__dict__") or type(value).__module__.startswith("torch._C"):
            return value
        try:
            new = copy.copy(value)
        except Exception:  # objects that refuse to be copied (locks, sessions) are shared
            return value
        if new is value:
            return value
        self._remember(value, new)
        for name, attribute in vars(value).items():
            copied = self._copy(attribute, joined(path, str(name)))
            if copied is not attribute:
                new.__dict__[name] = copied
        return new


def _is_empty(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def _can_be_written(cell: types.CellType) -> bool:
    """Whether a cell holds something that a hook could collect activations in."""
    return not _is_empty(cell) and not isinstance(cell.cell_contents, (*_ATOMIC, types.FunctionType))


def _holds_module(cell: types.CellType) -> bool:
    if _is_empty(cell):
        return False
    content = cell.cell_contents
    if isinstance(content, types.MethodType):
        content = content.__self__
    if isinstance(content, (list, tuple)):
        return any(isinstance(item, (nn.Module, Tensor)) for item in content)
    if isinstance(content, dict):
        return any(isinstance(item, (nn.Module, Tensor)) for item in content.values())
    return isinstance(content, (nn.Module, Tensor))
