"""A look at a live model or a program: it is traced, and a copy is run where the user allows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import cast

from torch import nn
from torch.export import ExportedProgram

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.wrappers import inside_wrappers
from bnlint.checking.option import several
from bnlint.checking.options import CheckOptions
from bnlint.errors import UsageError
from bnlint.facts.collect import NO_TRACE, collect
from bnlint.facts.gains import deployment_dtype
from bnlint.facts.records import FactTable
from bnlint.looking.look import DATA_BATCHES, Seen, kinds_of, model_name, nothing_to_run, unused_input
from bnlint.report import Coverage
from bnlint.running.observations import NOTHING
from bnlint.running.observe import Request, observe
from bnlint.running.padding import as_padding
from bnlint.tracing.contradictions import of_onnx, of_program
from bnlint.tracing.copying.unwrapped import unwrapped
from bnlint.tracing.door import looking_at_a_model
from bnlint.tracing.exported import trace_exported
from bnlint.tracing.inputs import Inputs, as_inputs
from bnlint.tracing.kinds import How
from bnlint.tracing.program import looking_into, trace_program
from bnlint.tracing.road import DEFAULT_TIMEOUT, trace_module
from bnlint.tracing.sound_tree import sound_tree
from bnlint.tracing.trace import Trace
from bnlint.user_objects import is_a


def trace(model: nn.Module | ExportedProgram, inputs: object = None, timeout: float | None = None) -> Trace:
    """Trace a model into a `torch.fx.Graph`.

    Args:
        model: The model; it is not changed. An exported program already is a graph.
        inputs: What to call it with, as for `check`; guessed if not given.
        timeout: Seconds for all attempts together.

    Returns:
        The trace; where no graph can be had, `Trace.how` is `none` and `Trace.reason` says why.

    Raises:
        UsageError: If `inputs` cannot be understood.
        NotAnalysedError: If the modules of the model cannot be listed.
    """
    if is_a(model, ExportedProgram):
        return trace_exported(model)
    with looking_at_a_model("traced"):
        return trace_module(unwrapped(cast(nn.Module, model)).module, _given(inputs), _limit(timeout))


def artifact_of(model: object) -> Artifact:
    """A live target as what a reader gives back.

    Raises:
        UsageError: If it is neither a module nor an exported program.
    """
    name = type(model).__name__
    if is_a(model, ExportedProgram):
        return Artifact(name, "exported_program", live_program=model, tensors=model.state_dict)
    if is_a(model, nn.Module):
        return Artifact(type(inside_wrappers(model)).__name__, "module", module=model)
    cause = f"The target is a {name}: give a module, an exported program, a path or an import string."
    raise UsageError(cause, "Save a state_dict to a file and name the file.")


def look_at(artifact: Artifact, options: CheckOptions) -> Seen:
    """Look at a model, or at a program.

    Args:
        artifact: The target.
        options: What the user asks for.

    Raises:
        UsageError: If the inputs, the padding or the data cannot be understood, or do not fit the model.
        NotAnalysedError: If a file of inputs cannot be read.
    """
    given, request = _given(options.inputs), _request(options)
    options.tell("tracing")
    unread: Mapping[str, str] = {}
    if artifact.module is not None:
        found = sound_tree(inside_wrappers(artifact.module))
        artifact, unread = replace(artifact, module=unwrapped(found.model).module), found.unread
    if artifact.program is not None:
        traced = trace_program(artifact.program)
    elif artifact.onnx is not None:
        from bnlint.tracing.onnx import trace_onnx

        traced = trace_onnx(artifact.onnx)
    elif artifact.module is not None:
        traced = trace_module(artifact.module, given, _limit(options.timeout), values=artifact.vetted)
    else:
        traced = NO_TRACE if artifact.live_program is None else trace_exported(artifact.live_program)
    module = artifact.module
    seen = NOTHING if module is None else observe(module, request, given, traced.example, options.tell)
    options.tell("facts")
    with _looking_into(artifact):
        table = collect(artifact, traced, options.setup, deployment_dtype(options.deploy_dtype), seen)
    failed = seen.failed if module is not None else nothing_to_run(options, table)
    if given is not None and module is not None and traced.how in (How.NONE, How.PARTIAL, How.SYMBOLIC):
        failed = (f"The model could not be run with the input that was given: {traced.reason}.", *failed)
    notes = (*_unread({**unread, **table.unread}), *seen.notes, *unused_input(artifact, options))
    return Seen(table, _coverage(artifact, traced, table, notes), failed)


def _unread(why: Mapping[str, str]) -> Iterator[str]:
    """A note for each module of which nothing could be told."""
    for path, reason in why.items():
        what = f"`{path}`" if path else "The model itself"
        yield f"{what} cannot be read ({reason}), so that what is true of it is unknown."


def _looking_into(artifact: Artifact) -> AbstractContextManager[None]:
    """A block that works on a graph; where it is one from a file, that may be the reason of a failure."""
    if artifact.program is not None:
        return looking_into(artifact.target, partial(of_program, artifact.program))
    if artifact.onnx is not None:
        return looking_into(artifact.target, partial(of_onnx, artifact.onnx))
    return nullcontext()


def _given(inputs: object) -> Inputs | None:
    return None if inputs is None else as_inputs(inputs)


def _request(options: CheckOptions) -> Request:
    return Request(
        run=bool(options.run),
        padding=tuple(map(as_padding, several(options.padding))),
        data=options.data,
        data_batches=options.data_batches or DATA_BATCHES,
        timeout=_limit(options.timeout),
    )


def _limit(timeout: float | None) -> float:
    """Seconds for tracing, and for each kind of run."""
    return DEFAULT_TIMEOUT if timeout is None else timeout


def _coverage(artifact: Artifact, traced: Trace, table: FactTable, notes: tuple[str, ...]) -> Coverage:
    return Coverage(
        form=artifact.form,
        model=model_name(artifact),
        graph=str(traced.how),
        reason=traced.reason,
        inputs=traced.inputs,
        inputs_assumed=traced.inputs_assumed,
        layers=table.model.norm_layers,
        layers_called=len({call.layer for call in traced.norm_calls if call.registered and not call.functional}),
        calls=len(traced.norm_calls),
        kinds=kinds_of(table),
        notes=(*artifact.notes, *notes),
    )
