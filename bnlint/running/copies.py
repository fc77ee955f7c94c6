"""A copy of the model with values, on which anything may be run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.utils._pytree import tree_flatten, tree_map_only

from bnlint.interruption import OutOfTime
from bnlint.tracing.copying.isolation import isolated
from bnlint.tracing.copying.structural_copy import StructuralCopy
from bnlint.tracing.copying.tensors import cloned_tensor
from bnlint.tracing.devices import lacks_values
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.live import members, named_modules
from bnlint.tracing.live import tensors as module_tensors
from bnlint.tracing.process_state import process_state_kept
from bnlint.tracing.watchdog import run_with_limit


class RunningCopy:
    """A copy of a model, on the device of the model, and its runs.

    Args:
        model: The model; it is not touched.
        deadline: When the runs must end, on the clock of `time.monotonic`.

    Attributes:
        module: The copy.
        device: Device of its parameters.
        dtype: Data type of its parameters that are floating point.
    """

    def __init__(self, model: nn.Module, deadline: float) -> None:
        self._copied = StructuralCopy(model, cloned_tensor)
        self._deadline = deadline
        self.module = self._copied.module
        tensors = module_tensors(self.module)
        self.device = next((tensor.device for tensor in tensors), torch.device("cpu"))
        self.dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
        self._buffers = [
            (module, name, buffer, buffer.clone())
            for module in self._copied.modules
            for name, buffer in members(module, "_buffers").items()
            if isinstance(buffer, Tensor)
        ]

    def modules(self) -> dict[str, nn.Module]:
        """All modules by path, also those that hide in lists."""
        return {self._copied.paths[id(module)]: module for module in self._copied.modules}

    def restore(self) -> None:
        """Give the buffers the values that they had in the model."""
        with torch.no_grad():
            for module, name, buffer, value in self._buffers:
                module._buffers[name] = buffer.copy_(value)

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - time.monotonic()

    def run(self, inputs: Inputs, seed: int = 0) -> list[Tensor]:
        """Run the copy without gradients; its buffers are restored first.

        Args:
            inputs: Inputs with values; they are cloned.
            seed: What the random numbers of the run begin with.

        Returns:
            The floating-point tensors of the output.

        Raises:
            OutOfTime: After the deadline.
            Exception: Whatever the code of the model raises.
        """
        with torch.no_grad():
            return self.run_with_gradients(inputs, seed)

    def run_with_gradients(self, inputs: Inputs, seed: int = 0) -> list[Tensor]:
        """The same in the gradient mode of the caller."""
        args, kwargs = tree_map_only(Tensor, self._own, (inputs.args, dict(inputs.kwargs)))
        if self.seconds_left <= 0:
            raise OutOfTime
        self.restore()
        torch.manual_seed(seed)
        with isolated(self._copied, values=True):
            return float_tensors(run_with_limit(self.seconds_left, self.module, *args, **kwargs))

    def backward(self, loss: Tensor) -> None:
        """Go back from a loss to the gradients of the copy, which may run parts of it again."""
        with isolated(self._copied, values=True):
            run_with_limit(self.seconds_left, loss.backward)

    @contextlib.contextmanager
    def state_kept(self) -> Iterator[None]:
        """A context for runs: the process is afterwards as it was."""
        devices = [self.device] if self.device.type == "cuda" else []
        with process_state_kept(), torch.random.fork_rng(devices=devices):
            yield

    def _own(self, tensor: Tensor) -> Tensor:
        dtype = self.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.detach().to(self.device, dtype, copy=True)


def why_not(model: nn.Module) -> str:
    """Why a model cannot be copied for a run; empty where it can."""
    if any(isinstance(module, torch.jit.ScriptModule) for _, module in named_modules(model)):
        return "a TorchScript module cannot be copied for a run"
    tensors = module_tensors(model)
    if any(isinstance(tensor, UninitializedTensorMixin) for tensor in tensors):
        return "its weights get their shapes at the first forward, which has not been"
    if any(map(lacks_values, tensors)):
        return "its weights hold no values"
    return ""


def float_tensors(result: Any) -> list[Tensor]:
    """The floating-point tensors in what a model returns, also those in the attributes of plain objects."""
    found: list[Tensor] = []
    for leaf in tree_flatten(result)[0]:
        inner = vars(leaf).values() if not isinstance(leaf, Tensor) and hasattr(leaf, "__dict__") else (leaf,)
        found += [value for value in inner if isinstance(value, Tensor) and value.is_floating_point()]
    return found
