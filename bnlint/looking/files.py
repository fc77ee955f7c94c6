"""A look at a file that is read as data; torch is not imported."""

from __future__ import annotations

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.saved import Saved
from bnlint.facts.collect_saved import collect_saved
from bnlint.facts.named_layers import named_layers
from bnlint.looking.look import Seen, Wanted, kinds_of, model_name, nothing_to_run
from bnlint.report import Coverage


def look_at_saved(artifact: Artifact, saved: Saved, wanted: Wanted) -> Seen:
    """Look at a model, or at weights, in a file.

    Args:
        artifact: The target.
        saved: What was read of it.
        wanted: What the user wants beside it.

    Raises:
        UsageError: If `inputs` cannot be understood.
        NotAnalysedError: If the values of a normalisation layer do not lie within the file.
    """
    if wanted.inputs is not None:
        from bnlint.tracing.inputs import as_inputs

        as_inputs(wanted.inputs)  # a mistake in it is one, although nothing here is run
    table = collect_saved(artifact, saved, wanted.setup, wanted.deploy_dtype)
    coverage = Coverage(
        form=artifact.form,
        model=model_name(artifact),
        layers=table.model.norm_layers,
        kinds=kinds_of(table),
        notes=(*artifact.notes, *_half_statistics(saved)),
    )
    return Seen(table, coverage, nothing_to_run(wanted))


def _half_statistics(saved: Saved) -> tuple[str, ...]:
    """Layers of weights with a running mean and no running variance, or the reverse: no layers to the rules."""
    halves = () if saved.modules else named_layers(saved.tensors, saved.versions).halves
    return tuple(f"`{half.path}` has a `{half.present}` and no `{half.missing}`." for half in halves[:8]) + (
        (f"So have {len(halves) - 8} more layers.",) if len(halves) > 8 else ()
    )
