"""Who uses what: calls of modules, readers of parameters, tied weights. Folding decides on these, not on modules."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from bnlint.folding.reasons import CannotFoldError
from bnlint.norms.classes import has_replaced_forward, has_torch_forward
from bnlint.norms.tensors import ARGUMENTS
from bnlint.tracing.devices import wraps_values
from bnlint.tracing.live import children, members, named_modules
from bnlint.tracing.live import tensors as module_tensors
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import Trace
from bnlint.tracing.whole_layers import is_whole
from bnlint.user_objects import guarded

_FOLDED_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_SHAPE_ONLY = frozenset({"reshape_as", "view_as", "expand_as", "type_as"})
"""Operators that read of their second argument its shape or dtype only."""

_SIZES = frozenset({"sym_size", "sym_numel"})
"""How the graph of an exported program asks for a size."""


class Uses:
    """Answers who uses a value, a module or a parameter.

    Args:
        model: The model.
        trace: Its trace.
    """

    def __init__(self, model: nn.Module, trace: Trace) -> None:
        self._modules: dict[str, nn.Module] = dict(named_modules(model))
        self._calls: dict[int, list[fx.Node]] = defaultdict(list)
        self._readers: dict[int, set[fx.Node]] = defaultdict(set)
        self._owners: dict[int, set[str]] = defaultdict(set)
        self._position = {node: position for position, node in enumerate(trace.graph.nodes)}
        for node in trace.graph.nodes:
            target = trace.attributes.get(str(node.target)) if node.op in ("call_module", "get_attr") else None
            if node.op == "call_module":
                self._calls[id(target)].append(node)
            elif isinstance(target, Tensor):
                self._readers[_storage(target)].update(node.users)
            self._read(node, trace)
        for path, module in self._modules.items():
            for tensor in module_tensors(module, recurse=False):
                self._owners[_storage(tensor)].add(path)

    def _read(self, node: fx.Node, trace: Trace) -> None:
        """What a call reads besides its arguments and the layer's own tensors: the tensors of its children, say."""
        others = (*node.meta.get("replaced", ()), *node.meta.get("also_reads", ()))
        tensors = [trace.attributes.get(str(other.target)) for other in others]
        if node.op == "call_module":
            for child in children(trace.attributes[str(node.target)]).values():
                tensors += module_tensors(child)
        for tensor in tensors:
            if isinstance(tensor, Tensor):
                self._readers[_storage(tensor)].add(node)

    def module(self, path: str) -> nn.Module:
        """The module at a path.

        Raises:
            CannotFoldError: If it is not in the module tree.
        """
        module = self._modules.get(path)
        if module is None:
            raise CannotFoldError("{} is not in the module tree", path)
        if not _is_at(self._modules[""], path, module):
            raise CannotFoldError("{} has a name that `get_submodule` cannot follow", path)
        return module

    def require_plain(self, path: str) -> nn.Module:
        """The module at a path, if its tensors and its calls are its own and nothing else happens in them.

        Raises:
            CannotFoldError: For hooks, parametrisations, another forward, tied weights and weights read elsewhere.
        """
        module = self.module(path)
        if not has_torch_forward(module):
            raise CannotFoldError("{} ({}) has a forward of its own", path, type(module).__name__)
        self.require_own_tensors(path, module)
        return module

    def require_own_tensors(self, path: str, module: nn.Module, calls: frozenset[fx.Node] = frozenset()) -> None:
        """Refuse hooks, parametrisations, tied weights and weights that other code reads.

        Args:
            path: Path of the module.
            module: The module.
            calls: Calls that may read the weights.

        Raises:
            CannotFoldError: With the reason.
        """
        if not is_whole(module):
            raise CannotFoldError("{} ({}) lacks attributes of the layer it is made of", path, type(module).__name__)
        if has_replaced_forward(module):
            raise CannotFoldError("{} has a forward that was set on the layer itself", path)
        if module._forward_hooks or module._forward_pre_hooks:
            raise CannotFoldError("{} has a forward hook", path)
        if module._backward_hooks or module._backward_pre_hooks:
            raise CannotFoldError("{} has a backward hook", path)
        if parametrize.is_parametrized(module):
            raise CannotFoldError("{} is parametrised: call torch.nn.utils.parametrize.remove_parametrizations", path)
        _require_plain_tensors(path, module)
        own = {**members(module, "_parameters"), **members(module, "_buffers")}
        for name, tensor in own.items():
            if not isinstance(tensor, Tensor):
                raise CannotFoldError("{}.{} is no tensor", path, name)
            others = self._owners[_storage(tensor)] - {path}
            if others:
                raise CannotFoldError("{}.{} is shared with {}", path, name, min(others))
            if self._readers[_storage(tensor)] - calls:
                raise CannotFoldError("{}.{} is read elsewhere in the forward", path, name)

    def require_no_hook_between(self, layer: str, carrier: str) -> None:
        """Refuse hooks on containers that hold one of two layers only: they see the values between the two.

        Raises:
            CannotFoldError: If there is one.
        """
        containers = [
            {path.rsplit(".", depth)[0] for depth in range(1, path.count(".") + 1)} for path in (layer, carrier)
        ]
        for path in sorted(containers[0] ^ containers[1]):
            module = self.module(path)
            if module._forward_hooks or module._forward_pre_hooks:
                raise CannotFoldError("{} has a forward hook, which sees the values on the way", path)

    def require_unchanged_after(self, source: fx.Node, call: fx.Node) -> None:
        """Refuse an input that is written to after a call: without the call, what comes after it would change too.

        Raises:
            CannotFoldError: If it is.
        """
        if any(self._position[writer] > self._position[call] for writer in source.meta.get("written_by", ())):
            raise CannotFoldError("its input is changed in place after it")

    def calls(self, module: nn.Module) -> list[fx.Node]:
        """The calls of a leaf module."""
        return self._calls[id(module)]

    def value_users(self, node: fx.Node) -> list[fx.Node]:
        """The users that read the values of a node, and not only its shape."""
        return [user for user in node.users if not _reads_shape_only(user, node)]


def _is_at(model: nn.Module, path: str, module: nn.Module) -> bool:
    found: nn.Module | None = model
    for name in path.split(".") if path else ():
        found = None if found is None else members(found, "_modules").get(name)
    return found is module


def _require_plain_tensors(path: str, module: nn.Module) -> None:
    for name in ARGUMENTS:
        value = getattr(module, name, None)
        if value is None:
            continue
        if not any(value is own.get(name) for own in (module._parameters, module._buffers, vars(module))):
            raise CannotFoldError("{}.{} is computed each time that it is read", path, name)
        if not isinstance(value, Tensor):
            raise CannotFoldError("{}.{} is no tensor", path, name)
        form = _unusual_form(value)
        if form:
            raise CannotFoldError("{}.{} is kept in a form that cannot be folded: {}", path, name, form)


def _unusual_form(tensor: Tensor) -> str:
    """How a tensor holds its values, if not as floating-point numbers in memory."""
    if wraps_values(tensor):
        return type(tensor).__name__
    if tensor.layout is not torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    return "" if tensor.dtype in _FOLDED_TYPES else str(tensor.dtype).removeprefix("torch.")


def _reads_shape_only(user: fx.Node, node: fx.Node) -> bool:
    if user.op not in ("call_method", "call_function"):
        return False
    name = operator_name(user.target)
    return name in _SIZES or (name in _SHAPE_ONLY and user.args[0] is not node)


def _storage(tensor: Tensor) -> int:
    """What two tensors have in common that share their values; there may be no storage, or none yet (lazy)."""
    return guarded(lambda: 0 if tensor.is_meta else tensor.untyped_storage().data_ptr(), 0) or id(tensor)
