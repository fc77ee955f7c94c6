"""The record of a fold: what was done to which file, with which errors; the format `bnlint-fold-v1`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from bnlint.errors import NotAnalysedError
from bnlint.opening import read_regular, reason, resolved

if TYPE_CHECKING:
    from bnlint.folding.fold import FoldResult
    from bnlint.folding.plan import Kept, Plan
    from bnlint.folding.prove import Proof

FOLD_SCHEMA: Final = "bnlint-fold-v1"
SUFFIX: Final = ".bnlint.json"
"""What the name of a record has after the name of the folded file that it stands beside."""

LARGEST_RECORD: Final = 1 << 26
"""Bytes of a record; each layer takes some two hundred."""


class FileRecord(msgspec.Struct, frozen=True):
    """A file.

    Attributes:
        name: Its name without folders.
        sha256: Hash of its bytes, in hexadecimal.
    """

    name: str
    sha256: str


class FoldedLayer(msgspec.Struct, frozen=True):
    """A BatchNorm that was folded.

    Attributes:
        layer: Path of the BatchNorm.
        into: Paths of the layers that absorbed it.
        through: Names of the operators between.
        error: Relative error at its output, in float64; null where that output is another one now, or without a proof.
    """

    layer: str
    into: tuple[str, ...]
    through: tuple[str, ...]
    error: float | None = None


class KeptLayer(msgspec.Struct, frozen=True):
    """A BatchNorm that stays.

    Attributes:
        layer: Path of the BatchNorm.
        reason: Why it stays.
        cause: The reason without names, the same for all layers that stay for it.
    """

    layer: str
    reason: str
    cause: str


class ProofRecord(msgspec.Struct, frozen=True):
    """The proof that the folded model computes what the original computes.

    Attributes:
        verified: Whether all errors are within their tolerances.
        max_error: Relative error of the outputs in the model's data type, against the original in float64; null where
            values are missing or not finite.
        original_error: The same of the original in its own data type.
        algebra_error: Relative error of the outputs, folded and run in float64.
        tolerance: What `max_error` may be.
        worst: Path of the folded layer with the largest error; empty without folds.
        inputs: What the models were run on, in words such as `1x3x224x224:float32`.
        inputs_assumed: Whether bnlint chose the shape of the first of them itself.
    """

    verified: bool
    max_error: float | None
    original_error: float | None
    algebra_error: float | None
    tolerance: float
    worst: str
    inputs: tuple[str, ...]
    inputs_assumed: bool = False


class FoldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was folded, and how well.

    Attributes:
        schema: Always `bnlint-fold-v1`.
        versions: Versions of bnlint and torch.
        target: The import string, or the name of the file without folders.
        model: Class name of the model.
        original: The file with the original weights; null where there is none.
        folded: The file with the folded weights; null where none was written.
        form: `module`, `state_dict`, `safetensors` or `exported_program` for a file that was written, else empty.
        folds: What was folded, in the order in which it was done.
        kept: What stays.
        proof: The proof; null for a plan alone.
        notes: Remarks on how the model was read.
    """

    schema: Literal["bnlint-fold-v1"] = FOLD_SCHEMA
    versions: Mapping[str, str]
    target: str
    model: str
    original: FileRecord | None = None
    folded: FileRecord | None = None
    form: str = ""
    folds: tuple[FoldedLayer, ...]
    kept: tuple[KeptLayer, ...]
    proof: ProofRecord | None = None
    notes: tuple[str, ...] = ()

    def encode(self) -> str:
        """The record as indented JSON, the same text for the same record."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"


def record_plan(planned: Plan, *, target: str, model: str, notes: Sequence[str] = ()) -> FoldRecord:
    """The record of a plan that was not carried out."""
    return FoldRecord(
        versions=versions(),
        target=Path(target).name,
        model=model,
        folds=tuple(FoldedLayer(fold.layer, fold.into, fold.through) for fold in planned.folds),
        kept=_kept(planned.kept),
        notes=tuple(notes),
    )


def record_fold(result: FoldResult, *, target: str, model: str, notes: Sequence[str] = ()) -> FoldRecord:
    """The record of a fold that was not written yet.

    Args:
        result: The fold.
        target: What the user named.
        model: Class name of the model.
        notes: Remarks on how the model was read.
    """
    words = tuple(dict.fromkeys(map(str, result.inputs)))
    return FoldRecord(
        versions=versions(),
        target=Path(target).name,
        model=model,
        folds=tuple(FoldedLayer(fold.layer, fold.into, fold.through, rounded(fold.error)) for fold in result.folds),
        kept=_kept(result.kept),
        proof=None if result.proof is None else _proof(result.proof, words, result.inputs_assumed),
        notes=tuple(notes),
    )


def beside(file: Path) -> Path:
    """Where the record of a folded file stands."""
    return file.with_name(file.name + SUFFIX)


def read_record(file: Path) -> FoldRecord | None:
    """The record beside a folded file, `None` where there is none.

    Raises:
        NotAnalysedError: If it cannot be read, or is no such record.
    """
    path = beside(resolved(file))
    try:
        data = read_regular(path, LARGEST_RECORD)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise NotAnalysedError(f"The record `{path.name}` cannot be read: {reason(error)}.") from error
    try:
        return msgspec.json.decode(data, type=FoldRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnalysedError(f"`{path.name}` is no record of a fold: {error}.") from error


def rounded(error: float | None) -> float | None:
    """An error to three digits; more would differ from one machine to the next."""
    return None if error is None else float(f"{error:.2e}")


def _kept(kept: Iterable[Kept]) -> tuple[KeptLayer, ...]:
    return tuple(KeptLayer(item.layer, item.reason, item.cause) for item in kept)


def _proof(proof: Proof, inputs: tuple[str, ...], inputs_assumed: bool) -> ProofRecord:
    return ProofRecord(
        verified=proof.verified,
        max_error=rounded(proof.max_error),
        original_error=rounded(proof.original_error),
        algebra_error=rounded(proof.algebra_error),
        tolerance=float(f"{proof.tolerance:.2e}"),
        worst=proof.worst,
        inputs=inputs,
        inputs_assumed=inputs_assumed,
    )


def versions() -> dict[str, str]:
    """The versions that a fold depends on."""
    from torch import __version__ as torch_version

    from bnlint import __version__

    return {"bnlint": __version__, "torch": str(torch_version)}
