"""A look at a file that is read as data; torch is not imported."""

from __future__ import annotations

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.saved import Saved
from bnlint.checking.options import CheckOptions
from bnlint.facts.collect_saved import collect_saved
from bnlint.facts.gains import deployment_dtype
from bnlint.facts.records import FactTable
from bnlint.facts.unknown import UNKNOWN
from bnlint.looking.look import Seen, kinds_of, model_name, nothing_to_run, unused_input
from bnlint.norms.kinds import NormKind
from bnlint.norms.names import kind_of_path, says_norm
from bnlint.norms.weights import NORM_BASE_VERSION
from bnlint.report import Coverage


def look_at_saved(artifact: Artifact, saved: Saved, options: CheckOptions) -> Seen:
    """Look at a model, or at weights, in a file.

    Args:
        artifact: The target.
        saved: What was read of it.
        options: What the user asks for.

    Raises:
        UsageError: If `inputs` cannot be understood.
        NotAnalysedError: If the values of a normalisation layer do not lie within the file.
    """
    if options.inputs is not None:
        from bnlint.tracing.inputs import as_inputs

        as_inputs(options.inputs)  # a mistake in it is one, although nothing here is run
    table = collect_saved(artifact, saved, options.setup, deployment_dtype(options.deploy_dtype))
    coverage = Coverage(
        form=artifact.form,
        model=model_name(artifact),
        layers=table.model.norm_layers,
        kinds=kinds_of(table),
        notes=(*artifact.notes, *_parameters_alone(saved, table), *unused_input(artifact, options)),
    )
    return Seen(table, coverage, nothing_to_run(options, table))


def _parameters_alone(saved: Saved, table: FactTable) -> tuple[str, ...]:
    """What to say of weights that may be those of BatchNorm without its buffers, as `named_parameters()` gives them."""
    without = [
        record.layer
        for record in table.norms
        if record.kind is UNKNOWN and {f"{record.layer}.bias", f"{record.layer}.beta"} & saved.tensors.keys()
    ]
    told = [layer for layer in without if saved.versions.get(layer) == NORM_BASE_VERSION]
    others_have_statistics = any(record.has_running_statistics is True for record in table.norms)
    doubtful = told or [
        layer
        for layer in without
        if layer not in saved.versions
        and (kind_of_path(layer) is NormKind.BATCH or not (says_norm(layer) or others_have_statistics))
    ]
    if not doubtful:
        return ()
    several = len(doubtful) > 1
    subject = (
        f"{len(doubtful)} layers, such as `{doubtful[0]}`, have" if several else f"One layer, `{doubtful[0]}`, has"
    )
    other = "InstanceNorm" if told else "GroupNorm"
    return (
        f"{subject} a scale and a shift and no running statistics: right for {other}, but if this is BatchNorm, only"
        " its parameters were saved, and not its buffers.",
    )
