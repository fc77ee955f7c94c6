"""What `bnlint fold` does with a model once it is read: plan, or fold, prove and write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from torch import nn
from torch.export import ExportedProgram

from bnlint.cli.model_to_fold import ModelToFold
from bnlint.errors import UsageError
from bnlint.folding.fold import FoldResult, fold, require_eval_mode, settled_plan, trace_to_fold
from bnlint.folding.graph_form import graph_form
from bnlint.folding.plan import Kept, Plan
from bnlint.folding.program import example_inputs, export_folded, fold_program, quiet_copies
from bnlint.folding.program_layers import with_layers
from bnlint.folding.record import FoldRecord, record_fold, record_plan
from bnlint.folding.write import Form, form_for, hash_file, write_folded
from bnlint.tracing.door import looking_at_a_model
from bnlint.tracing.road import DEFAULT_TIMEOUT


@dataclass(frozen=True)
class How:
    """What the options say about the fold itself.

    Attributes:
        inputs: Inputs as text.
        verify_inputs: Names of files with further inputs for the proof.
        force: Fold never-updated statistics too.
        as_graph: Fold a graph of the model.
        timeout: Seconds for tracing; `None` for the usual ones.
    """

    inputs: tuple[str, ...]
    verify_inputs: tuple[str, ...]
    force: bool
    as_graph: bool
    timeout: float | None


@looking_at_a_model("folded")
def plan_model(opened: ModelToFold, how: How) -> FoldRecord:
    """What can be folded; nothing is.

    Raises:
        UsageError: If the model is in training mode.
        NotAnalysedError: If it could not be run.
    """
    timeout = how.timeout or DEFAULT_TIMEOUT
    inputs: object = how.inputs or how.verify_inputs[:1] or None
    model = opened.model
    operators: tuple[Kept, ...] = ()
    if isinstance(model, ExportedProgram):
        _refuse_graph(how)
        inputs = inputs or example_inputs(model)
        with quiet_copies():
            layers = with_layers(model)
        model, operators = layers.module, layers.kept
    trace, example = trace_to_fold(model, inputs, timeout)
    planned = settled_plan(model, trace, timeout)
    require_eval_mode(planned)
    if how.as_graph:
        graph = graph_form(trace)
        planned = settled_plan(graph, trace_to_fold(graph, example, timeout)[0], timeout)
    planned = Plan(planned.folds, (*planned.kept, *operators))
    return record_plan(planned, target=opened.target, model=type(opened.model).__name__, notes=opened.notes)


def fold_model(opened: ModelToFold, how: How, output: Path, progress: Callable[[str], None]) -> FoldRecord:
    """Fold and prove, and write the model and its record if the proof holds.

    Args:
        opened: The model.
        how: What the options say.
        output: Where it goes.
        progress: Is told the stage that begins.

    Raises:
        UsageError: If the model cannot be folded as it is, or the output cannot hold it.
        NotAnalysedError: If it could not be run, saved or written.
    """
    form = form_for(output, "module" if how.as_graph else opened.form)
    if how.as_graph and form not in (Form.MODULE, Form.PROGRAM):
        raise UsageError("A graph is written as a whole model.", "Give an output that ends in .pt.")
    progress("folding")
    model, result, notes = _fold(opened, how, form)
    record = record_fold(result, target=opened.target, model=type(opened.model).__name__, notes=(*opened.notes, *notes))
    if opened.file is not None:
        record = msgspec.structs.replace(record, original=hash_file(opened.file))
    if not result.verified:
        return record
    progress("writing")
    return write_folded(model, output, form, record)


def _fold(opened: ModelToFold, how: How, form: Form) -> tuple[nn.Module | ExportedProgram, FoldResult, tuple[str, ...]]:
    """What is to be written, the fold, and remarks on it."""
    timeout, inputs = how.timeout or DEFAULT_TIMEOUT, how.inputs or None
    if isinstance(opened.model, ExportedProgram):
        _refuse_graph(how)
        done = fold_program(opened.model, inputs, force=how.force, verify_inputs=how.verify_inputs, timeout=timeout)
        return done.program, done.result, ()
    result = fold(
        opened.model,
        inputs,
        force=how.force,
        as_graph=how.as_graph,
        verify_inputs=how.verify_inputs,
        timeout=timeout,
    )
    if form is not Form.PROGRAM or not result.verified:
        return result.model, result, ()
    exported = export_folded(opened.model, result)
    return exported.program, exported.result, exported.notes


def _refuse_graph(how: How) -> None:
    if how.as_graph:
        raise UsageError("An exported program is a graph already.", "Drop `--as graph`.")
