"""`bnlint fold`: folds BatchNorm into the layers around it, proves it, and writes the model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnlint.cli.options import debug_option, model_options
from bnlint.cli.progress import progress_bar
from bnlint.cli.streams import complain, stdout_is_for_the_report, write
from bnlint.errors import NotAnalysedError, UsageError

if TYPE_CHECKING:
    from bnlint.cli.model_to_fold import ModelToFold
    from bnlint.folding.record import FoldRecord

STAGES = ("reading", "folding", "writing")


@dataclass(frozen=True)
class _How:
    """What the options say about the fold itself."""

    inputs: tuple[str, ...]
    verify_inputs: tuple[str, ...]
    force: bool
    as_graph: bool
    timeout: float | None


@click.command(short_help="Fold BatchNorm into the layers around it, and prove it.")
@model_options
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Where the folded model goes.")
@click.option("--in-place", is_flag=True, help="Write over the file that the weights come from.")
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@click.option("--dry-run", is_flag=True, help="Show what can be folded; fold and write nothing.")
@click.option("--eval", "evaluate", is_flag=True, help="Put a model that is in training mode in eval mode first.")
@click.option(
    "--as",
    "as_",
    type=click.Choice(("module", "graph")),
    default="module",
    show_default=True,
    help="graph: a torch.fx.GraphModule for the traced shapes, which can fold more.",
)
@click.option("--force", is_flag=True, help="Fold statistics that no batch has updated.")
@click.option(
    "--verify-inputs",
    multiple=True,
    metavar="FILE",
    help="Inputs with values for the proof, beside random ones: a .pt or .npz file; once for each run.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("full", "json")),
    default="full",
    show_default=True,
    help="full for people, json for programs.",
)
@click.option("--all", "everything", is_flag=True, help="A row for every layer, nothing grouped.")
@debug_option
def fold(
    *,
    target: str,
    weights: str | None,
    kwargs: Mapping[str, Any] | None,
    trust: bool,
    evaluate: bool,
    output: Path | None,
    in_place: bool,
    overwrite: bool,
    dry_run: bool,
    as_: str,
    format_: str,
    everything: bool,
    **how: Any,
) -> int:
    r"""Fold each BatchNorm of TARGET into the layers around it.

    TARGET is a whole saved model (with --trust), or the import string package.module:name of a model, a model class,
    or a function that makes one. The output has the form of the input, or the one that its suffix asks for:
    .safetensors, .pt. A record with hashes and errors is written beside it, as FILE.bnlint.json. Nothing is written
    unless the outputs are proved to be the same.

    \b
      bnlint fold model.pt --trust -o folded.pt
      bnlint fold torchvision.models:resnet18 --weights r18.pth -o folded.safetensors
    """
    if not dry_run:
        output = _output(target, weights, output, in_place=in_place, overwrite=overwrite)
    with progress_bar(STAGES) as progress, stdout_is_for_the_report():
        progress("reading")
        from bnlint.cli.model_to_fold import open_model

        opened = open_model(target, weights=weights, kwargs=kwargs, trust=trust, evaluate=evaluate)
        options = _How(as_graph=as_ == "graph", **how)
        if dry_run or output is None:
            record = _plan(opened, options, progress)
        else:
            record = _fold(opened, options, output, progress)
    from bnlint.reporters import fold_table
    from bnlint.reporters.style import Style

    render = fold_table.render_all if everything and format_ == "full" else fold_table.FORMATS[format_]
    write(render(record, Style.of_stream(sys.stdout)))
    if record.proof is not None and not record.proof.verified:
        complain(f"bnlint: {fold_table.failure(record)} Nothing was written.")
        return NotAnalysedError.exit_code
    return 0


def _output(target: str, weights: str | None, output: Path | None, *, in_place: bool, overwrite: bool) -> Path:
    """Where the folded model goes, refused before any work is done."""
    sources = [Path(name) for name in (weights, target) if name is not None and Path(name).is_file()]
    from bnlint.folding.record import beside

    if output is None:
        if not in_place:
            raise UsageError("There is no output.", "Give `-o FILE`, `--in-place`, or `--dry-run` to write nothing.")
        if not sources:
            raise UsageError(f"`{target}` is no file that could be written over.", "Give `-o FILE`.")
        return sources[0]
    if output.is_dir() or not output.name:
        raise UsageError(f"The output `{output}` is a folder.", "Name a file in it.")
    if not output.parent.is_dir():
        raise UsageError(f"There is no folder `{output.parent}` for the output.")
    if output.suffix.lower() in (".pt2", ".onnx"):
        raise UsageError(f"bnlint cannot write {output.suffix} files.", "Give an output of .pt or .safetensors.")
    if output.exists():
        _require_consent(output, sources, in_place=in_place, overwrite=overwrite)
    elif in_place:
        raise UsageError(f"`{output}` is not the input, which `--in-place` would write over.", "Give one of the two.")
    elif beside(output).exists() and not overwrite:
        raise UsageError(f"The record `{beside(output)}` exists.", "Remove it, or give `--overwrite` to replace it.")
    return output


def _require_consent(output: Path, sources: list[Path], *, in_place: bool, overwrite: bool) -> None:
    same = [output.samefile(source) for source in sources]
    if in_place and not any(same[:1]):
        raise UsageError(f"`{output}` is not the input, which `--in-place` would write over.", "Give one of the two.")
    if any(same) and not in_place:
        raise UsageError(f"The output `{output}` is the input.", "Give another, or `--in-place` to write over it.")
    if not output.is_file():
        raise UsageError(f"The output `{output}` is not a regular file.")
    if not in_place and not overwrite:
        raise UsageError(f"The output `{output}` exists.", "Give another, or `--overwrite` to replace it.")


def _plan(opened: ModelToFold, how: _How, progress: Callable[[str], None]) -> FoldRecord:
    from bnlint.folding.fold import require_eval_mode, trace_to_fold
    from bnlint.folding.graph_form import graph_form
    from bnlint.folding.planner import make_plan
    from bnlint.folding.record import record_plan
    from bnlint.tracing.road import DEFAULT_TIMEOUT

    progress("folding")
    inputs = how.inputs or how.verify_inputs[:1] or None
    timeout = how.timeout or DEFAULT_TIMEOUT
    trace, example = trace_to_fold(opened.module, inputs, timeout)
    planned = make_plan(opened.module, trace)
    require_eval_mode(planned)
    if how.as_graph:
        graph = graph_form(trace)
        planned = make_plan(graph, trace_to_fold(graph, example, timeout)[0])
    return record_plan(planned, target=opened.target, model=type(opened.module).__name__, notes=opened.notes)


def _fold(opened: ModelToFold, how: _How, output: Path, progress: Callable[[str], None]) -> FoldRecord:
    """Fold, prove, and write if the proof holds."""
    import msgspec

    from bnlint.folding import fold as folding
    from bnlint.folding.record import record_fold
    from bnlint.folding.write import Form, form_for, hash_file, write_folded
    from bnlint.tracing.road import DEFAULT_TIMEOUT

    form = form_for(output, "module" if how.as_graph else opened.form)
    if how.as_graph and form is not Form.MODULE:
        raise UsageError("A graph is written as a whole model.", "Give an output that ends in .pt.")
    progress("folding")
    result = folding.fold(
        opened.module,
        how.inputs or None,
        force=how.force,
        as_graph=how.as_graph,
        verify_inputs=how.verify_inputs,
        timeout=how.timeout or DEFAULT_TIMEOUT,
    )
    model = type(opened.module).__name__
    record = record_fold(result, target=opened.target, model=model, notes=opened.notes)
    if opened.file is not None:
        record = msgspec.structs.replace(record, original=hash_file(opened.file))
    if not result.verified:
        return record
    progress("writing")
    return write_folded(result.model, output, form, record)
