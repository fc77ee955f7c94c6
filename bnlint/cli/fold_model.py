"""What `bnlint fold` does in a process of its own: read a model and plan, or fold, prove and write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from torch import nn
from torch.export import ExportedProgram

from bnlint.cli.model_to_fold import ModelToFold, open_model
from bnlint.errors import UsageError
from bnlint.folding.fold import FoldResult, fold
from bnlint.folding.place import Staged
from bnlint.folding.program import export_folded, fold_program, plan_program, require_inference
from bnlint.folding.record import FoldRecord, record_fold, record_plan
from bnlint.folding.settled import require_eval_mode, settle
from bnlint.folding.write import Form, form_for, hash_file, write_files
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

    inputs: tuple[str, ...] | None
    verify_inputs: tuple[str, ...]
    force: bool
    as_graph: bool
    timeout: float | None


def plan_target(*, progress: Callable[[str], None], **options: Any) -> FoldRecord:
    """Read a model and tell what can be folded; nothing is.

    Args:
        progress: Is told which stage begins.
        **options: What the command line gives: `target`, how it is read, and how it is folded.

    Raises:
        BnlintError: As for `open_model` and `fold_target`.
    """
    progress("reading")
    opened, how = _opened(options)
    progress("folding")
    return _plan(opened, how)


def fold_target(*, output: Path, files: Staged, progress: Callable[[str], None], **options: Any) -> FoldRecord:
    """Read a model, fold it and prove it, and write it and its record if the proof holds.

    Args:
        output: What the user called the output.
        files: Where the folded model and its record go.
        progress: Is told which stage begins.
        **options: As for `plan_target`.

    Raises:
        UsageError: If the model cannot be folded as it is, or the output cannot hold it.
        NotAnalysedError: If it could not be run, saved or written.
    """
    progress("reading")
    opened, how = _opened(options)
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
    return write_files(model, output, files, form, record)


def _opened(options: Mapping[str, Any]) -> tuple[ModelToFold, How]:
    rest = dict(options)
    reading = {name: rest.pop(name) for name in ("target", "weights", "kwargs", "allow", "trust", "evaluate", "key")}
    return open_model(**reading), How(as_graph=rest.pop("as_") == "graph", **rest)


@looking_at_a_model("folded")
def _plan(opened: ModelToFold, how: How) -> FoldRecord:
    """What can be folded; nothing is.

    Raises:
        UsageError: If the model is in training mode.
        NotAnalysedError: If it could not be run.
    """
    timeout = how.timeout or DEFAULT_TIMEOUT
    inputs: object = how.inputs or how.verify_inputs[:1] or None
    model = opened.model
    if isinstance(model, ExportedProgram):
        _refuse_graph(how)
        planned = plan_program(model, inputs, timeout)
        require_inference(planned.kept)
    else:
        planned = settle(model, inputs, as_graph=how.as_graph, timeout=timeout).plan
    require_eval_mode(planned)
    return record_plan(planned, target=opened.target, model=type(opened.model).__name__, notes=opened.notes)


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
