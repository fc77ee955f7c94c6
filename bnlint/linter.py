"""The public functions: read, trace, collect facts, apply rules."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn
from torch.export import ExportedProgram

from bnlint import __version__
from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.read import read
from bnlint.errors import UsageError
from bnlint.facts.collect import NO_TRACE, collect
from bnlint.facts.records import FactTable
from bnlint.report import Context, Coverage, Report, Severity
from bnlint.ruleset import apply_rules, choose, load_rules
from bnlint.tracing.exported import trace_exported
from bnlint.tracing.inputs import as_inputs
from bnlint.tracing.kinds import How
from bnlint.tracing.road import DEFAULT_TIMEOUT, trace_module
from bnlint.tracing.trace import Trace

if TYPE_CHECKING:
    Target = nn.Module | ExportedProgram | str | os.PathLike[str]

T = TypeVar("T", Context, Severity)

Progress = Callable[[str], None]
"""Is told the stage that begins: `reading`, `tracing`, `facts`, `rules`."""


def check(
    target: Target,
    *,
    inputs: object = None,
    weights: str | os.PathLike[str] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    context: Context | str = Context.INFERENCE,
    batch_size: int | None = None,
    select: str | Iterable[str] = (),
    ignore: str | Iterable[str] = (),
    rules: Iterable[str | os.PathLike[str]] = (),
    fail_on: Severity | str | None = Severity.WARNING,
    timeout: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check the normalisation layers of a model.

    Args:
        target: A live module or `ExportedProgram`, the path of a saved model, or an import string such as
            `torchvision.models:resnet18`.
        inputs: What to call the model with: a tensor, a tuple of tensors, a dict of keyword tensors, or texts such as
            `1x3x224x224` and `input_ids=1x128:int64`. Guessed from the model if not given.
        weights: A weights file to load into the model of an import string.
        kwargs: Arguments for the factory of an import string.
        trust: Load whole-model pickles, which runs the code that they name.
        context: What the model is about to do: `inference` or `training`.
        batch_size: The training batch on each device, in samples.
        select: Codes, names or code prefixes of the rules to run; all by default.
        ignore: Codes, names or code prefixes of the rules to leave out.
        rules: Folders with further rule files.
        fail_on: The severity from which a finding makes `Report.ok` false; `None` for never.
        timeout: Seconds for tracing.
        progress: Is told which stage begins.

    Returns:
        The report. The model is not changed.

    Raises:
        UsageError: For a wrong argument, import string or rule file.
        NotAnalysedError: For a file that cannot be read.
    """
    say = progress or _say_nothing
    select, ignore = _several(select), _several(ignore)
    context, fail_on = _member(Context, context), None if fail_on is None else _member(Severity, fail_on)
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"The batch size is {batch_size}, but a batch holds at least one sample.")
    chosen = choose(load_rules([Path(folder) for folder in rules]), select, ignore)
    artifact, trace, table = _look(target, inputs, weights, kwargs, trust, batch_size, timeout, say)
    say("rules")
    outcome = apply_rules(chosen, table, context)
    named = {name.upper() for name in select}
    asked = [
        f"{item.code} was selected but could not be decided: {item.remedy}."
        for item in outcome.not_run
        if {item.code, item.name.upper()} & named
    ]
    if inputs is not None and trace.how in (How.NONE, How.PARTIAL, How.SYMBOLIC) and artifact.module is not None:
        asked.insert(0, f"The model could not be run with the input that was given: {trace.reason}.")
    return Report(
        version=__version__,
        target=artifact.target,
        context=context,
        batch_size=batch_size,
        coverage=_coverage(artifact, trace, table),
        findings=outcome.findings,
        not_run=outcome.not_run,
        passed=outcome.passed,
        unanalysed=tuple(asked),
        fail_on=fail_on,
    )


def inspect(
    target: Target,
    *,
    inputs: object = None,
    weights: str | os.PathLike[str] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    batch_size: int | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
) -> FactTable:
    """The facts that the rules would read; the arguments are those of `check`.

    Returns:
        The fact table.

    Raises:
        UsageError: For a wrong argument or import string.
        NotAnalysedError: For a file that cannot be read.
    """
    return _look(target, inputs, weights, kwargs, trust, batch_size, timeout, progress or _say_nothing)[2]


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
    """
    if isinstance(model, ExportedProgram):
        return trace_exported(model)
    given = None if inputs is None else as_inputs(inputs)
    return trace_module(model, given, DEFAULT_TIMEOUT if timeout is None else timeout)


def _look(
    target: Target,
    inputs: object,
    weights: str | os.PathLike[str] | None,
    kwargs: Mapping[str, Any] | None,
    trust: bool,
    batch_size: int | None,
    timeout: float | None,
    say: Progress,
) -> tuple[Artifact, Trace, FactTable]:
    say("reading")
    given = None if inputs is None else as_inputs(inputs)
    if isinstance(target, nn.Module):
        artifact = Artifact(type(target).__name__, "module", module=target)
    elif isinstance(target, ExportedProgram):
        artifact = Artifact(type(target).__name__, "exported_program", tensors=target.state_dict)
    else:
        artifact = read(
            os.fspath(target), weights=None if weights is None else os.fspath(weights), kwargs=kwargs, trust=trust
        )
    say("tracing")
    code = target if isinstance(target, ExportedProgram) else artifact.module
    traced = NO_TRACE if code is None else trace(code, given, timeout)
    say("facts")
    return artifact, traced, collect(artifact, traced, batch_size)


def _coverage(artifact: Artifact, traced: Trace, table: FactTable) -> Coverage:
    layers = {facts.layer: facts for facts in table.norms}
    return Coverage(
        form=artifact.form,
        model="" if artifact.module is None else type(artifact.module).__name__,
        graph=str(traced.how),
        reason=traced.reason,
        inputs=traced.inputs,
        inputs_assumed=traced.inputs_assumed,
        layers=table.model.norm_layers,
        layers_called=len({call.layer for call in traced.norm_calls}),
        calls=len(traced.norm_calls),
        kinds=dict(sorted(Counter(facts.kind for facts in layers.values()).items())),
        notes=artifact.notes,
    )


def _member(kind: type[T], value: str) -> T:
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(repr(str(member)) for member in kind)
        raise UsageError(f"{value!r} is no {kind.__name__.lower()}.", f"Choose one of {choices}.") from None


def _several(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _say_nothing(_: str) -> None:
    pass
