"""`torch.fx.symbolic_trace` for models whose input is not known, or that cannot be run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from bnlint.interruption import OutOfTime, pass_on
from bnlint.norms.classes import has_torch_forward, norm_kind
from bnlint.tracing.copying.isolation import isolated
from bnlint.tracing.copying.structural_copy import StructuralCopy
from bnlint.tracing.copying.tensors import meta_tensor
from bnlint.tracing.kinds import Role
from bnlint.tracing.live import submodule
from bnlint.tracing.process_state import process_state_kept
from bnlint.tracing.roles import module_role, operator_role
from bnlint.tracing.source import caller
from bnlint.tracing.watchdog import run_with_limit
from bnlint.user_objects import attribute

_MOST_OPAQUE_MODULES = 20


@dataclass(frozen=True)
class Symbolic:
    """A symbolically traced module.

    Attributes:
        graph: The graph, with `role`, `stack` and `layer` in each node's `meta`, and no values.
        attributes: What the targets of the graph stand for: the user's own objects.
        opaque: Paths of modules that refused to be traced and are leaves for that reason.
    """

    graph: fx.Graph
    attributes: Mapping[str, Any]
    opaque: tuple[str, ...]


class _Tracer(fx.Tracer):
    """Knows the leaf modules, and which module was running when tracing failed."""

    def __init__(self, opaque: frozenset[str], deadline: float) -> None:
        super().__init__()
        self._opaque = opaque
        self._deadline = deadline
        self.failed_in: str | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if module_qualified_name in self._opaque or norm_kind(m) is not None:
            return True
        if isinstance(m, (_ConvNd, nn.Linear, nn.MultiheadAttention, torch.jit.ScriptModule)):
            return True
        return has_torch_forward(m) and not m._modules

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except BaseException:
            if self.failed_in is None:
                self.failed_in = self.path_of_module(m)
            raise

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        if time.monotonic() > self._deadline:
            raise OutOfTime
        node = super().create_node(kind, target, *args, **kwargs)
        node.meta["stack"] = caller()
        return node


def symbolic(model: nn.Module, timeout: float) -> Symbolic | BaseException:
    """Trace a model without an input; the innermost module that refuses becomes a leaf, and so on.

    Args:
        model: The model; a structural copy of it is traced, so that caches are not filled with proxies.
        timeout: Seconds.

    Returns:
        The graph, or the error of the model's own forward.
    """
    copied = StructuralCopy(model, meta_tensor)
    opaque: tuple[str, ...] = ()
    deadline = time.monotonic() + timeout
    while True:
        tracer = _Tracer(frozenset(opaque), deadline)
        try:
            with process_state_kept(), _module_class_kept(), isolated(copied, values=False):
                graph = run_with_limit(max(0.1, deadline - time.monotonic()), tracer.trace, copied.module)
            return Symbolic(graph, _annotate(graph, model, opaque), opaque)
        except BaseException as error:
            pass_on(error)
            if isinstance(error, OutOfTime) or tracer.failed_in is None or len(opaque) == _MOST_OPAQUE_MODULES:
                return error
            opaque = (*opaque, tracer.failed_in)


@contextlib.contextmanager
def _module_class_kept() -> Iterator[None]:
    """What `torch.fx` puts into `nn.Module` is taken out, also where the time limit strikes while it does so itself."""
    call, get = nn.Module.__call__, nn.Module.__getattr__
    try:
        yield
    finally:
        nn.Module.__call__, nn.Module.__getattr__ = call, get  # type: ignore[method-assign]


def _annotate(graph: fx.Graph, model: nn.Module, opaque: tuple[str, ...]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for node in graph.nodes:
        node.meta["role"] = _role(node, model, opaque)
        if node.op == "call_module":
            module = submodule(model, node.target)
            attributes[node.target] = module
            node.meta.update(layer=node.target, operator=type(module).__name__)
            node.meta["opaque"] = not has_torch_forward(module)
        elif node.op == "get_attr":
            owner, _, name = node.target.rpartition(".")
            attributes[node.target] = attribute(submodule(model, owner), name)
    return attributes


def _role(node: fx.Node, model: nn.Module, opaque: tuple[str, ...]) -> Role:
    match node.op:
        case "placeholder":
            return Role.INPUT
        case "output":
            return Role.OUTPUT
        case "get_attr":
            return Role.CONSTANT
        case "call_module":
            return Role.UNKNOWN if node.target in opaque else module_role(submodule(model, str(node.target)))
        case _:
            return operator_role(node.target)
