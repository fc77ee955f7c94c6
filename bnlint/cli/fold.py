"""`bnlint fold`: folds BatchNorm into the layers around it, proves it, and writes the model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnlint.cli.call import in_its_own_process
from bnlint.cli.help import HelpfulCommand
from bnlint.cli.options import debug_option, options_on
from bnlint.cli.progress import progress_bar
from bnlint.cli.streams import complain, write
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.opening import is_folder, is_regular, is_there, refusal

if TYPE_CHECKING:
    from bnlint.folding.record import FoldRecord

STAGES = ("reading", "folding", "writing")
_PLAN = "bnlint.cli.fold_model:plan_target"
_FOLD = "bnlint.cli.fold_model:fold_target"


@click.command(cls=HelpfulCommand, short_help="Fold BatchNorm into the layers around it, and prove it.")
@click.argument("target")
@options_on("reading")
@click.option("-o", "--output", metavar="FILE", type=Path, help="Where the folded model goes.")
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
    help="Inputs with values for the proof, beside random ones: .pt, .npz, .npy or .safetensors; once for each run.",
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
    key: str,
    output: Path | None,
    in_place: bool,
    overwrite: bool,
    dry_run: bool,
    format_: str,
    everything: bool,
    **options: Any,
) -> int:
    """Fold each BatchNorm of TARGET into the layers around it.

    TARGET is a whole saved model, an exported program (.pt2) with --trust, or the import string package.module:name
    of a model, a model class, or a function that makes one. A saved model of classes outside torch.nn takes --allow
    with their package, or --trust. The output has the form of the input,
    or the one that its suffix asks for: .safetensors, .pt, .pt2. A record with hashes and errors is written beside it,
    as FILE.bnlint.json. Nothing is written unless the outputs are proved to be the same.

    \b
      bnlint fold model.pt --allow torchvision -o folded.pt
      bnlint fold torchvision.models:resnet18 --weights r18.pth -o folded.safetensors
    """  # noqa: D301 - click needs the character itself
    if key and in_place:
        cause = f"`--in-place` would replace the whole file by the model under `{key}` alone."
        raise UsageError(cause, "Give `-o FILE` instead.")
    if not dry_run:
        output = _output(target, weights, output, in_place=in_place, overwrite=overwrite)
    options |= {"target": target, "weights": weights, "key": key}
    if dry_run or output is None:
        with progress_bar(STAGES) as progress:
            record: FoldRecord = in_its_own_process(_PLAN, options, target, progress)
    else:
        record = _fold(options, output, replace=in_place or overwrite)
    from bnlint.reporters import fold_table
    from bnlint.reporters.page.style import Style

    render = fold_table.render_all if everything and format_ == "full" else fold_table.FORMATS[format_]
    write(render(record, Style.of_stream(sys.stdout)))
    if record.proof is not None and not record.proof.verified:
        complain(f"bnlint: {fold_table.failure(record)} Nothing was written.")
        return NotAnalysedError.exit_code
    return 0


def _fold(options: dict[str, Any], output: Path, *, replace: bool) -> FoldRecord:
    """Fold into files beside the output; they take its place if all went well, and are gone whatever happens."""
    from bnlint.folding.place import put, staged

    with staged(output) as files, progress_bar(STAGES) as progress:
        question = {**options, "output": output, "files": files}
        record: FoldRecord = in_its_own_process(_FOLD, question, options["target"], progress)
        if record.folded is not None:
            put(files, output, replace=replace)
    return record


def _output(target: str, weights: str | None, output: Path | None, *, in_place: bool, overwrite: bool) -> Path:
    """Where the folded model goes, refused before any work is done."""
    sources = [Path(name) for name in (weights, target) if name is not None and is_regular(name)]
    from bnlint.folding.record import beside

    if output is None:
        if not in_place:
            raise UsageError("There is no output.", "Give `-o FILE`, `--in-place`, or `--dry-run` to write nothing.")
        if not sources:
            raise UsageError(f"`{target}` is no file that could be written over.", "Give `-o FILE`.")
        return sources[0]
    if is_folder(output) or not output.name:
        raise UsageError(f"The output `{output}` is a folder.", "Name a file in it.")
    if why := refusal(output) or refusal(beside(output)):
        raise UsageError(f"The output `{output}` cannot be written: {why}.", "Give another.")
    if not is_folder(output.parent):
        raise UsageError(f"There is no folder `{output.parent}` for the output.")
    if output.suffix.lower() == ".onnx":
        raise UsageError("bnlint cannot write .onnx files.", "Give an output of .pt, .safetensors or .pt2.")
    if is_there(output):
        _require_consent(output, sources, in_place=in_place, overwrite=overwrite)
    elif in_place:
        raise UsageError(f"`{output}` is not the input, which `--in-place` would write over.", "Give one of the two.")
    elif is_there(beside(output)) and not overwrite:
        raise UsageError(f"The record `{beside(output)}` exists.", "Remove it, or give `--overwrite` to replace it.")
    return output


def _require_consent(output: Path, sources: list[Path], *, in_place: bool, overwrite: bool) -> None:
    same = [output.samefile(source) for source in sources]
    if in_place and not any(same[:1]):
        raise UsageError(f"`{output}` is not the input, which `--in-place` would write over.", "Give one of the two.")
    if any(same) and not in_place:
        raise UsageError(f"The output `{output}` is the input.", "Give another, or `--in-place` to write over it.")
    if not is_regular(output):
        raise UsageError(f"The output `{output}` is not a regular file.")
    if not in_place and not overwrite:
        raise UsageError(f"The output `{output}` exists.", "Give another, or `--overwrite` to replace it.")
