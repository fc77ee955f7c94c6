"""Records one run of a model, on meta tensors or with values, and leaves the model as it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map_only

from bnlint.interruption import pass_on
from bnlint.norms.classes import has_torch_forward, norm_kind
from bnlint.text import text_of
from bnlint.tracing.constants import ValueNeededError
from bnlint.tracing.copying.isolation import isolated
from bnlint.tracing.copying.structural_copy import StructuralCopy
from bnlint.tracing.copying.tensors import cpu_tensor, meta_tensor
from bnlint.tracing.graph_builder import argument_names
from bnlint.tracing.inputs import Inputs
from bnlint.tracing.live import tensors as module_tensors
from bnlint.tracing.norm_calls import find_norm_calls
from bnlint.tracing.opaque import vmap_as_one_call
from bnlint.tracing.process_state import process_state_kept
from bnlint.tracing.recorder import Recorder
from bnlint.tracing.trace import NormCall
from bnlint.tracing.watchdog import run_with_limit


@dataclass(frozen=True)
class Record:
    """A recorded run, whole or up to the point where it failed.

    Attributes:
        graph: The graph; without an output node where the run failed.
        attributes: What the targets of the graph stand for.
        norm_calls: Normalisation calls in call order.
        entered: Paths of the modules whose forward ran.
        error: What stopped the run; `None` for a whole record.
        unexplained: Number of values whose origin could not be seen.
    """

    graph: fx.Graph
    attributes: Mapping[str, Any]
    norm_calls: tuple[NormCall, ...]
    entered: frozenset[str]
    error: BaseException | None
    unexplained: int

    @property
    def needs_values(self) -> bool:
        """Whether the run failed because meta tensors hold no values."""
        if isinstance(self.error, (ValueNeededError, NotImplementedError)):
            return True
        text = text_of(self.error).lower()
        return self.error is not None and ("meta" in text or "data-dependent" in text)


def record(
    model: nn.Module,
    inputs: Inputs,
    *,
    values: bool = False,
    timeout: float = 120.0,
    leaves: frozenset[str] = frozenset(),
) -> Record:
    """Run a structural copy of a model once and write down every call.

    Args:
        model: The model, on any device and in any mode. It is not touched.
        inputs: What to call it with.
        values: Run with values on a copy in CPU memory, rather than on meta tensors.
        timeout: Seconds after which the run is given up.
        leaves: Paths of modules to treat as leaves.

    Returns:
        The record; a run that fails gives a record up to the failing call, with the error.
    """
    copied = StructuralCopy(model, cpu_tensor if values else meta_tensor)
    recorder = Recorder(copied, _device_of(model, inputs), values, time.monotonic() + timeout, leaves)
    error = _run(recorder, copied, inputs, values, timeout)
    modules = {copied.paths[id(module)]: copied.originals[id(module)] for module in copied.modules}
    registered = frozenset(copied.paths[id(module)] for module in copied.modules if id(module) in copied.registered)
    builder = recorder.builder
    calls = find_norm_calls(builder.graph, builder.attributes, modules, registered)
    hidden = _hidden_norms(recorder.entered, modules, calls) - leaves
    if hidden and error is None:
        return record(model, inputs, values=values, timeout=timeout, leaves=leaves | hidden)
    return Record(builder.graph, builder.attributes, calls, frozenset(recorder.entered), error, builder.unexplained)


def _hidden_norms(entered: set[str], modules: Mapping[str, nn.Module], calls: tuple[NormCall, ...]) -> frozenset[str]:
    """Normalisation layers that ran without a normalisation function: they do the arithmetic themselves."""
    seen = {call.layer for call in calls}
    return frozenset(
        path for path in entered if path not in seen and path in modules and norm_kind(modules[path]) is not None
        and not has_torch_forward(modules[path])
    )  # fmt: skip


def _run(
    recorder: Recorder, copied: StructuralCopy, inputs: Inputs, values: bool, timeout: float
) -> BaseException | None:
    module = copied.module
    stand_in = cpu_tensor if values else meta_tensor
    args, kwargs = tree_map_only(Tensor, stand_in, (inputs.args, dict(inputs.kwargs)))
    names = argument_names(module, len(args))
    for name, value in [*zip(names, args, strict=True), *kwargs.items()]:
        recorder.builder.placeholder(name, value)
    try:
        with (
            process_state_kept(),
            vmap_as_one_call(recorder.emit_vmap),
            torch.no_grad(),
            isolated(copied, values=values),
            recorder,
        ):
            result = run_with_limit(timeout, module, *args, **kwargs)
        recorder.autocast.close()
        recorder.builder.output(result)
    except BaseException as error:
        pass_on(error)
        return error
    return None


def _device_of(model: nn.Module, inputs: Inputs) -> torch.device:
    """The device that the model would run on."""
    tensors = [*(value for value in inputs.args if isinstance(value, Tensor)), *module_tensors(model)]
    return next((tensor.device for tensor in tensors if not tensor.is_meta), torch.device("cpu"))
