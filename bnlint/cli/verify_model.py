"""What `bnlint verify` does in a process of its own: read both models and compare them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnlint.opening import is_there

if TYPE_CHECKING:
    from bnlint.folding.record import FoldRecord


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        differences: What is not as it should be, a sentence each.
        has_record: Whether there is a record beside the folded file.
        other_versions: Where something differs and the file was folded by other versions: a sentence that says so.
        error: As in `Verification`.
        tolerance: Likewise.
        inputs_assumed: Likewise.
    """

    differences: tuple[str, ...]
    has_record: bool
    other_versions: str
    error: float | None
    tolerance: float
    inputs_assumed: str


def verify_files(
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
    progress: Callable[[str], None],
) -> Verified:
    """Compare a folded file with what folding its original gives; the arguments are those of the command.

    Raises:
        BnlintError: As for `open_model` and for `folding.verify.verify`.
    """
    progress("reading")
    from bnlint.cli.model_to_fold import open_model
    from bnlint.folding.record import read_record
    from bnlint.folding.verify import verify
    from bnlint.tracing.road import DEFAULT_TIMEOUT

    record = read_record(folded)
    opened = open_model(
        model or against,
        weights=against if model is not None else None,
        kwargs=kwargs,
        allow=allow,
        trust=trust,
        evaluate=True,
        key=key,
    )
    given = _open_folded(folded, allow, trust)
    by_hash = [] if record is None else list(_changed(record, folded, Path(against)))
    progress("folding")
    found = verify(opened.model, given, inputs or None, verify_inputs=verify_inputs, timeout=timeout or DEFAULT_TIMEOUT)
    differences = (*by_hash, *found.differences)
    return Verified(
        differences=differences,
        has_record=record is not None,
        other_versions=_other_versions(record) if differences and record is not None else "",
        error=found.error,
        tolerance=found.tolerance,
        inputs_assumed=found.inputs_assumed,
    )


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
