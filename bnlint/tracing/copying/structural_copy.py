"""A structural copy: module objects and whatever holds a part of the model are new, the bytes of tensors need not be.

A run writes into a model: attention caches, counters, lazily made parameters. Recording therefore happens on a copy
whose parameters and buffers are meta tensors, so that the user's own object is never touched.
"""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Mapping
from typing import Any, cast

import numpy
import torch
from torch import Tensor, nn

from bnlint.artifacts.names import joined
from bnlint.artifacts.user_code import described
from bnlint.artifacts.wrappers import inside_compiled
from bnlint.errors import NotAnalysedError
from bnlint.interruption import pass_on
from bnlint.tracing.copying import containers, functions
from bnlint.tracing.copying.atoms import ATOMIC, ATOMIC_TYPES
from bnlint.tracing.copying.lru_caches import LRU_CACHE
from bnlint.tracing.copying.memo import CannotBeCopied, Memo
from bnlint.tracing.copying.objects import copied_object
from bnlint.tracing.copying.reach import holds_model, reached
from bnlint.tracing.copying.surroundings import Surroundings
from bnlint.tracing.copying.tensors import TensorCopy
from bnlint.tracing.live import named_modules
from bnlint.tracing.opaque import ScriptStandIn

_TABLES = ("_parameters", "_buffers", "_modules")

_COPIERS: tuple[tuple[tuple[type, ...], Any], ...] = (
    (containers.PROXIES, containers.copied_proxy),
    ((dict,), containers.copied_dict),
    (containers.SEQUENCES, containers.copied_sequence),
    ((types.MethodType,), functions.copied_method),
    ((functools.partial,), functions.copied_partial),
    ((types.FunctionType,), functions.copied_function),
    ((LRU_CACHE,), functions.copied_cache),
    (functions.BUILTIN_METHODS, functions.copied_builtin),
    ((weakref.ref,), containers.copied_reference),
    (containers.WEAK, containers.copied_weak),
    (tuple(containers.VIEWS), containers.copied_view),
    ((types.MappingProxyType,), containers.copied_mapping_proxy),
    ((numpy.ndarray,), containers.copied_array),
    ((object,), copied_object),
)
"""How each kind of object is copied; the first that fits does it."""


class StructuralCopy:
    """Copies a module tree, with what hides in containers, closures, defaults and plain objects.

    Wrappers of `torch.compile` are taken off on the way. What cannot be copied (locks, running generators) is shared.

    Args:
        module: The module to copy.
        tensor_copy: Makes the stand-in of each tensor, such as `meta_tensor`.
        known: Modules that have a copy already, by the identity of the original.

    Attributes:
        module: The copy.
        modules: The copies of all modules.
        paths: Path of each copied module by the identity of the copy. Registered modules have the name that
            `named_modules` gives them, others the way by which they were found (`blocks[3]`).
        registered: Identities of the copies that are in the module tree.
        originals: The original of each copied module or tensor by the identity of the copy.
        tensor_paths: Path of each copied tensor by the identity of the copy.
        shared: The objects that could not be copied, each with its path.
        compiled: Paths of the wrappers of `torch.compile` that were taken off.
        around: What the code of the model sees beside the model, and the original and the copy have in common.
        leads_back: Whether something that could not be copied holds modules or tensors.

    Raises:
        NotAnalysedError: An attribute cannot be copied: a chain of ten thousand objects, say.
    """

    def __init__(
        self, module: nn.Module, tensor_copy: TensorCopy, known: Mapping[int, nn.Module] | None = None
    ) -> None:
        self._tensor_copy = tensor_copy
        self._memo = Memo()
        self._memo.copies.update(known or {})
        self._names = {id(child): name.replace("._orig_mod", "") for name, child in named_modules(module)}
        self.paths: dict[int, str] = {}
        self.registered: set[int] = set()
        self.originals: dict[int, Any] = {}
        self.modules: list[nn.Module] = []
        self.tensor_paths: dict[int, str] = {}
        self.shared: list[tuple[str, Any]] = []
        self.compiled: list[str] = []
        self.module = cast(nn.Module, self.copy_of(module, ""))
        self.around, self.leads_back = self._look_around()

    def copy_of(self, value: Any, path: str) -> Any:
        """The copy of a value beside the model, which a function of the model reaches in a way of its own.

        Raises:
            NotAnalysedError: It cannot be copied.
        """
        try:
            return self._copy(value, path)
        except BaseException as error:  # the classes of what it holds may raise anything
            pass_on(error)
            cause = f"The model cannot be copied for a run: {described(error)}."
            raise NotAnalysedError(cause, "Take out of its attributes what is no part of the model.") from error

    def _look_around(self) -> tuple[Surroundings, bool]:
        """Copy the modules that code comes to by other ways than an attribute; they may have code of their own."""
        leads_back = False
        while True:
            before = len(self.modules)
            known = self._memo.originals()
            functions = (value for value in known if isinstance(value, types.FunctionType))
            around = Surroundings({type(value) for value in known}, functions)
            for place in around.places:
                for item in reached(place.value):
                    leads_back |= isinstance(item, (nn.Module, Tensor))
                    if isinstance(item, nn.Module):
                        self.copy_of(item, self._free_path(place.name))
            if before == len(self.modules):
                return around, leads_back or any(holds_model(value) for _, value in self.shared)

    def _free_path(self, name: str) -> str:
        taken = {path.partition(".")[0] for path in self._names.values()}
        while name in taken:
            name = f"{name}_"
        return name

    def memo_of(self, original: object) -> Any:
        """The copy of an object of the original model; `None` where there is none."""
        return self._memo.get(original)

    def _copy(self, value: Any, path: str) -> Any:
        kind = type(value)
        if kind in ATOMIC_TYPES:
            return value
        known = self._memo.copies.get(id(value))
        if known is not None:
            return known
        if issubclass(kind, Tensor):
            return self._copy_tensor(value, path)
        inner = inside_compiled(value)
        if inner is not None:
            self.compiled.append(path)
            return self._memo.remember(value, self._copy(inner, path))
        if issubclass(kind, nn.Module):
            return self._copy_module(value, path)
        if issubclass(kind, ATOMIC):
            return value
        if kind is torch.Generator:
            return self._memo.remember(value, value.clone_state())
        copier = next(copier for kinds, copier in _COPIERS if issubclass(kind, kinds))
        try:
            return copier(value, path, self._copy, self._memo)
        except CannotBeCopied:
            return self._share(value, path)

    def _share(self, value: Any, path: str) -> Any:
        """What it leads to has a copy all the same, for code that comes by it."""
        self._memo.remember(value, value)
        self.shared.append((path, value))
        for item in reached(value):
            if isinstance(item, (nn.Module, Tensor)):
                self._copy(item, path)
        return value

    def _copy_tensor(self, value: Tensor, path: str) -> Tensor:
        new = self._memo.remember(value, self._tensor_copy(value))
        self.originals[id(new)] = value
        self.tensor_paths.setdefault(id(new), path)
        if new is not value:
            for name, item in value.__dict__.items():  # a parameter may know its module
                new.__dict__[name] = self._copy(item, joined(path, str(name)))
        return cast(Tensor, new)

    def _copy_module(self, value: nn.Module, path: str) -> nn.Module:
        registered_name = self._names.get(id(value))
        path = path if registered_name is None else registered_name
        new = ScriptStandIn(value) if isinstance(value, torch.jit.ScriptModule) else object.__new__(type(value))
        self._memo.remember(value, new)
        self.paths[id(new)] = path
        self.originals[id(new)] = value
        self.modules.append(new)
        if registered_name is not None:
            self.registered.add(id(new))
        if isinstance(new, ScriptStandIn):
            return new
        for name, attribute in value.__dict__.items():
            if type(attribute) in ATOMIC_TYPES:
                new.__dict__[name] = attribute
            elif type(attribute) in containers.PLAIN_DICTS and not attribute:  # most of what a module has
                new.__dict__[name] = self._memo.remember(attribute, type(attribute)())
            elif name in _TABLES:
                new.__dict__[name] = containers.copied_dict(attribute, path, self._copy, self._memo, members=True)
            elif name != "_compiled_call_impl":  # of `Module.compile`
                new.__dict__[name] = self._copy(attribute, joined(path, str(name)))
        return new
