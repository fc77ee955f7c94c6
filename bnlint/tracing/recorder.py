"""The recorder: writes every call of one run of a model into a graph.

It stands between the model's code and torch as a `TorchFunctionMode`, so any control flow that does not depend on
tensor values works, and it knows which module is running because each module of the structural copy reports its calls.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from bnlint.interruption import OutOfTime
from bnlint.norms.classes import norm_kind
from bnlint.text import text_of
from bnlint.tracing.autocast import AutocastRegions
from bnlint.tracing.constants import ValueNeededError, value_of
from bnlint.tracing.copying.structural_copy import StructuralCopy
from bnlint.tracing.devices import MOVERS, PURE_MOVERS, answer_about_device, moved
from bnlint.tracing.emission import Emission, emission_of
from bnlint.tracing.graph_builder import GraphBuilder
from bnlint.tracing.held_calls import Call, HeldCalls
from bnlint.tracing.kinds import Role
from bnlint.tracing.leaves import is_leaf, normalises_in_its_own_way, wrapped_module
from bnlint.tracing.live import members, named_modules
from bnlint.tracing.opaque import held_tensors, original_callable, runs_on_values_only
from bnlint.tracing.roles import module_role
from bnlint.tracing.shortcuts import call_shortcut, module_shortcut
from bnlint.tracing.source import Frame, caller
from bnlint.user_objects import attribute, is_a, is_set

META = torch.device("meta")
CPU = torch.device("cpu")
_VALUE_READERS = frozenset({
    "item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "__array__", "__complex__", "equal",
    "allclose", "is_nonzero", "__format__",
})  # fmt: skip
_RESHAPES_IN_PLACE = frozenset(
    {"squeeze_", "unsqueeze_", "t_", "transpose_", "swapaxes_", "swapdims_", "resize_", "set_"}
)
_REFUSALS = (
    "Expected more than 1 value per channel",
    "Expected more than 1 spatial element",
    "SyncBatchNorm expected input tensor to be on",  # with a process group, in training mode
)


class Recorder(TorchFunctionMode):
    """Records one run of a structural copy.

    Args:
        copied: The copy of the model. Its modules are made to report their calls.
        device: The device that the model's code is told its tensors are on.
        values: Whether the copy holds values in CPU memory; otherwise everything runs on meta tensors.
        deadline: Time of `time.monotonic()` after which the run is given up.
        leaves: Paths of modules to treat as leaves although their code is not torch's.
    """

    def __init__(
        self,
        copied: StructuralCopy,
        device: torch.device,
        values: bool,
        deadline: float,
        leaves: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.builder = GraphBuilder(keep_values=not values)
        self.autocast = AutocastRegions(self.builder.graph, device)
        self.entered: set[str] = set()
        self._copied = copied
        self._device = device
        self._values = values
        self._deadline = deadline
        self._leaves = leaves
        self._stack: list[tuple[nn.Module, Frame | None]] = []
        self._stand_ins: dict[int, tuple[Tensor, Tensor]] = {}
        self._held: HeldCalls | None = None
        for module in copied.modules:
            module.__dict__["_compiled_call_impl"] = functools.partial(self._call_module, module)
        for identity, path in copied.tensor_paths.items():
            original = copied.originals[identity]
            self.builder.declare(copied.memo_of(original), path, original)

    # Module calls

    def _call_module(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        inner = wrapped_module(module)
        if inner is not None:
            return inner(*args, **kwargs)
        if not torch._C._is_torch_function_mode_enabled():  # inside a leaf
            return _forward(module, args, kwargs)
        with torch._C.DisableTorchFunction():
            self._release()
        if self.path(module) in self._leaves or is_leaf(module):
            return self._call_leaf(module, args, kwargs)
        if normalises_in_its_own_way(module):
            return self._call_unknown(module, args, kwargs)
        self.entered.add(self.path(module))
        return self._call_inside(module, args, kwargs, caller() if norm_kind(module) is not None else None)

    def _call_inside(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Frame | None
    ) -> Any:
        self._stack.append((module, frame))
        try:
            return _forward(module, args, kwargs)
        finally:
            self._stack.pop()

    def _call_leaf(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        frame = caller()
        with torch._C.DisableTorchFunction():
            if runs_on_values_only(module):
                self._look_away(module)
            args, kwargs = self._enter(args), self._enter(kwargs)
            self.autocast.notice()
            result = self._run_leaf(module, args, kwargs)
            self._emit_leaf(module, args, kwargs, result, frame)
        return result

    def _call_unknown(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a BatchNorm with code of its own: what it does inside says whether it is a leaf."""
        frame = caller()
        with torch._C.DisableTorchFunction():
            args, kwargs = self._enter(args), self._enter(kwargs)
        self._held = held = HeldCalls(module)
        try:
            result = self._call_inside(module, args, kwargs, frame)
            is_whole = self._held is held
        finally:
            self._held = None
        if is_whole:
            with torch._C.DisableTorchFunction():
                self.autocast.notice()
                node = self._emit_leaf(module, args, kwargs, result, frame)
                given = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
                node.meta["uses_batch"] = None if given is None else held.use_the_batch(given, result)
        return result

    def _release(self) -> None:
        """Write the calls that were held back: the layer whose they are is more than arithmetic."""
        held, self._held = self._held, None
        if held is None:
            return
        self.entered.add(self.path(held.module))
        for call in held.calls:
            self._write(call)

    def _emit_leaf(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, frame: Frame | None
    ) -> torch.fx.Node:
        target = attribute_path(self.path(module))
        self.builder.attributes[target] = self._copied.originals[id(module)]
        node = self.builder.call("call_module", target, args, kwargs, result, module_role(module), frame)
        node.meta.update(layer=self.path(module), operator=type(module).__name__)
        training = attribute(module, "training")
        if training is not attribute(self._copied.originals[id(module)], "training"):
            node.meta["training"] = training
        replaced = self._replaced_tensors(module)
        if replaced:
            node.meta["replaced"] = replaced
        if is_set(module, "inplace") and args and isinstance(args[0], Tensor):
            self.builder.wrote(node, args[0])
        return node

    def _replaced_tensors(self, module: nn.Module) -> tuple[torch.fx.Node, ...]:
        """Tensors that are not the layer's own, as `torch.func.functional_call` puts in their place for one call."""
        original = self._copied.originals[id(module)]
        others = []
        for kind in ("_parameters", "_buffers"):
            owned = members(original, kind)
            for name, tensor in members(module, kind).items():
                own = owned.get(name)
                if is_a(tensor, Tensor) and not (is_a(own, Tensor) and self._copied.memo_of(own) is tensor):
                    others.append(self.builder.argument(tensor))
        return tuple(others)

    def _run_leaf(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            known = None if self._values else module_shortcut(module, args, kwargs)
            return _forward(module, args, kwargs) if known is None else known
        except ValueError as error:
            return _as_if_accepted(error, args)

    def _look_away(self, module: nn.Module) -> None:
        if not self._values:
            raise ValueNeededError(f"{self.path(module)} is compiled for real tensors")
        if any(norm_kind(child) is not None for _, child in named_modules(self._copied.originals[id(module)])):
            self.builder.unexplained += 1

    def emit_vmap(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Write a whole `torch.vmap` as one call; the calls inside it are not seen."""
        self._release()
        mapped = original_callable(args[0], self._copied.originals)
        held = [node for tensor in held_tensors(args[0]) if (node := self.builder.node_of(tensor)) is not None]
        node = self.builder.call("call_function", function, (mapped, *args[1:]), kwargs, result, Role.UNKNOWN, caller())
        node.meta["also_reads"] = held
        self.builder.unexplained += 1

    def path(self, module: nn.Module) -> str:
        """Path of a module of the copy."""
        return self._copied.paths.get(id(module), type(module).__name__)

    # Function calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if time.monotonic() > self._deadline:
            raise OutOfTime
        kwargs = kwargs or {}
        emission = emission_of(func)
        answer = answer_about_device(emission, self._device)
        if answer is not None:
            return answer[0]
        args, kwargs = self._enter(args), self._enter(kwargs)
        if emission.name in _VALUE_READERS and not self._values:
            self._release()
            return self._read_value(func, args, kwargs)
        if emission.name in _RESHAPES_IN_PLACE:
            self._freeze_shape(args[0])
        result = self._run(func, emission, args, kwargs)
        if emission.writes or "out" in kwargs or _has_tensor(result):
            self._emit(emission, args, kwargs, result)
        return result

    def _emit(self, emission: Emission, args: Any, kwargs: Any, result: Any) -> None:
        call = Call(emission, args, kwargs, result, caller(), self.autocast.current())
        if self._held is not None and emission.role is not Role.NORMALISATION:
            self._held.calls.append(call)
            return
        self._release()
        self._write(call)

    def _write(self, call: Call) -> None:
        emission, args, kwargs = call.emission, call.args, call.kwargs
        self.autocast.notice(call.autocast)
        if emission.op:
            op, target = emission.op, emission.target
        elif emission.writes:
            op, target, args = "call_function", setattr, (args[0], emission.target, *args[1:])
        else:
            op, target, args = "call_function", getattr, (args[0], emission.target)
        node = self.builder.call(op, target, args, kwargs, call.result, emission.role, call.frame)
        self._name_layer(node)
        written = [kwargs.get("out")]
        if emission.writes:
            written += [args[at] if at < len(args) else kwargs.get(name) for at, name in emission.written]
        for tensor in written:
            if isinstance(tensor, Tensor):
                self.builder.wrote(node, tensor)

    def _name_layer(self, node: torch.fx.Node) -> None:
        """A functional call inside a normalisation layer is a call of that layer."""
        if not self._stack:
            return
        node.meta["module"] = self.path(self._stack[-1][0])
        if node.meta["role"] is not Role.NORMALISATION:
            return
        for module, frame in reversed(self._stack):
            if norm_kind(module) is not None:
                node.meta.update(layer=self.path(module), stack=frame)
                return

    def _run(self, func: Any, emission: Emission, args: Any, kwargs: Any) -> Any:
        """Run a call where the tensors of this run are, whatever device the model's code names."""
        if emission.name in PURE_MOVERS:
            return args[0]
        if emission.name in MOVERS or kwargs.get("device") is not None:
            args, kwargs = moved(args, kwargs, CPU if self._values else META)
        elif not self._values and func in _device_constructors() and "out" not in kwargs:
            kwargs = {**kwargs, "device": META}
        try:
            known = None if self._values else call_shortcut(func, args, kwargs)
            return func(*args, **kwargs) if known is None else known
        except ValueError as error:
            return _as_if_accepted(error, args)

    def _read_value(self, func: Any, args: Any, kwargs: Any) -> Any:
        tensors = [value_of(self.builder, arg) if isinstance(arg, Tensor) else arg for arg in args]
        return func(*tensors, **kwargs)

    def _freeze_shape(self, tensor: Tensor) -> None:
        node = self.builder.node_of(tensor)
        if node is not None and node.meta.get("val") is tensor:
            node.meta["val"] = tensor.detach()

    def _enter(self, value: Any) -> Any:
        """Replace the tensors that are not part of the run (plain attributes, constants) by meta ones."""
        if isinstance(value, Tensor):
            return value if self._values or value.is_meta else self._stand_in(value)
        if type(value) in (list, tuple):
            items = [self._enter(item) for item in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                return value
            return type(value)(items)
        if type(value) is dict:
            return {key: self._enter(item) for key, item in value.items()}
        return value

    def _stand_in(self, tensor: Tensor) -> Tensor:
        known = self._stand_ins.get(id(tensor))
        if known is None:
            empty = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=META)
            known = self._stand_ins[id(tensor)] = (tensor, empty)
            self.builder.declare(empty, f"_constant_{len(self._stand_ins)}", tensor)
        return known[1]


def _forward(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a module with its hooks, past the reporting of the call."""
    return module._call_impl(*args, **kwargs)  # type: ignore[no-untyped-call]


def attribute_path(path: str) -> str:
    """A module path as a `call_module` target: list indices become attributes."""
    return path.replace("[", ".").replace("]", "").replace("'", "")


def _as_if_accepted(error: ValueError, args: Any) -> Tensor:
    """BatchNorm in training mode refuses one value per channel, or a device; the shape is what matters here."""
    if not text_of(error).startswith(_REFUSALS):
        raise error
    return torch.empty_like(args[0])


def _has_tensor(value: Any) -> bool:
    if isinstance(value, Tensor):
        return True
    return isinstance(value, (list, tuple)) and any(map(_has_tensor, value))
