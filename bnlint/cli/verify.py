"""`bnlint verify`: checks a folded file against its original."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnlint.cli.options import debug_option, loading_options
from bnlint.cli.progress import progress_bar
from bnlint.cli.streams import stdout_is_for_the_report, write
from bnlint.opening import is_meant, is_there, require_regular

if TYPE_CHECKING:
    from bnlint.folding.record import FoldRecord

STAGES = ("reading", "folding")


@click.command(short_help="Check a folded file against its original.")
@click.argument("folded", type=Path)
@click.option("--against", required=True, metavar="FILE", help="The original: its weights, or the whole model.")
@click.option("--model", metavar="IMPORT", help="The model that the weights belong to, as package.module:name.")
@loading_options
@click.option(
    "--verify-inputs", multiple=True, metavar="FILE", help="Inputs with values, beside random ones: .pt, .npz, .npy …"
)
@debug_option
def verify(
    *,
    folded: Path,
    against: str,
    model: str | None,
    key: str,
    kwargs: Mapping[str, Any] | None,
    inputs: tuple[str, ...],
    verify_inputs: tuple[str, ...],
    allow: tuple[str, ...],
    trust: bool,
    timeout: float | None,
) -> int:
    """Check that FOLDED is what folding its original gives.

    The hashes in the record beside it are compared with both files, the original is folded again, and weights and
    outputs are compared. The exit code is 0 if all agree, 1 if something differs, 3 if that cannot be decided.

    \b
      bnlint verify folded.safetensors --against r18.pth --model torchvision.models:resnet18
      bnlint verify folded.pt --against model.pt --allow torchvision
    """  # noqa: D301 - click needs the character itself
    if not is_meant(folded):
        from bnlint.artifacts.missing import missing_file

        raise missing_file(str(folded))
    require_regular(folded, str(folded))
    with progress_bar(STAGES) as progress, stdout_is_for_the_report():
        progress("reading")
        from bnlint.cli.model_to_fold import open_model
        from bnlint.folding.record import read_record
        from bnlint.folding.verify import verify as compare
        from bnlint.tracing.road import DEFAULT_TIMEOUT

        record = read_record(folded)
        weights = against if model is not None else None
        opened = open_model(
            model or against, weights=weights, kwargs=kwargs, allow=allow, trust=trust, evaluate=True, key=key
        )
        given = _open_folded(folded, allow, trust)
        by_hash = [] if record is None else list(_changed(record, folded, Path(against)))
        progress("folding")
        found = compare(
            opened.model,
            given,
            inputs or None,
            verify_inputs=verify_inputs,
            timeout=timeout or DEFAULT_TIMEOUT,
        )
    differences = (*by_hash, *found.differences)
    for sentence in differences:
        write(f"{sentence}\n")
    if differences:
        if record is not None:
            write(_other_versions(record))
        write(f"`{folded.name}` is not what folding `{Path(against).name}` gives\n")
        return 1
    far = f"the outputs differ by {found.error:.1e} of their size (tolerance {found.tolerance:.0e})"
    assumed = f" on {found.inputs_assumed} (assumed, see --input)" if found.inputs_assumed else ""
    hashes = "no record beside it" if record is None else "both hashes are those of the record"
    write(f"verified: {far}{assumed}, {hashes}\n")
    return 0


def _open_folded(folded: Path, allow: tuple[str, ...], trust: bool) -> Any:
    """The folded model: a program, a module, or weights alone."""
    from bnlint.artifacts.program_file import is_program, load_program
    from bnlint.artifacts.read import read

    if is_program(folded):
        return load_program(folded, str(folded), trust=trust)
    artifact = read(str(folded), allow=allow, trust=trust)
    return artifact.weights() if artifact.module is None else artifact.module


def _other_versions(record: FoldRecord) -> str:
    """A sentence where the file was folded by other versions, which may fold more or less; else nothing."""
    from bnlint.folding.record import versions

    here = versions()
    if dict(record.versions) == here:
        return ""
    then, now = (", ".join(f"{name} {version}" for name, version in item.items()) for item in (record.versions, here))
    return f"It was folded with {then}; here are {now}, which may fold other layers.\n"


def _changed(record: FoldRecord, folded: Path, original: Path) -> Iterator[str]:
    """A sentence for each file that is not the one of the record."""
    from bnlint.folding.write import hash_file

    for path, known in ((folded, record.folded), (original, record.original)):
        if known is None and not is_there(path):
            continue  # an import string without weights
        if known is None:
            yield f"The record of `{folded.name}` has no hash of `{path.name}`."
        elif hash_file(path).sha256 != known.sha256:
            yield f"`{path.name}` is not the file of the record: its hash is another one."
