"""The public functions: read, trace, collect facts, apply rules."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, cast

from bnlint import __version__
from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.read import read
from bnlint.checking.option import several
from bnlint.checking.options import CheckOptions, check_options, for_inspect, inspect_options
from bnlint.checking.signature import takes_options
from bnlint.facts.gains import deployment_dtype
from bnlint.facts.records import FactTable
from bnlint.looking.files import look_at_saved
from bnlint.looking.look import Seen, check_data
from bnlint.report import Report
from bnlint.resolve import require_some_rule, resolve
from bnlint.ruleset import apply_rules
from bnlint.ruleset.required import undecided

if TYPE_CHECKING:
    from typing import Unpack

    from torch import nn
    from torch.export import ExportedProgram

    from bnlint.checking.keywords import CheckKeywords, InspectKeywords

    Target = nn.Module | ExportedProgram | str | os.PathLike[str]

_OPTIONS = CheckOptions.entries.values()


@takes_options(_OPTIONS)
def check(target: Target, **options: Unpack[CheckKeywords]) -> Report:
    """Check the normalisation layers of a model.

    Args:
        target: A live module or `ExportedProgram`, the path of a saved model, or an import string such as
            `torchvision.models:resnet18`.
        **options: The options of a check.

    Returns:
        The report. The model is not changed.

    Raises:
        UsageError: For a wrong argument, import string, configuration file or rule file.
        NotAnalysedError: For a file that cannot be read.
    """
    given = check_options(options)
    resolved = resolve(given)
    require_some_rule(resolved)
    artifact, seen = _look(target, resolved.options)
    given.tell("rules")
    outcome = apply_rules(resolved.rules.to_run, seen.table, resolved.context)
    return Report(
        version=__version__,
        target=artifact.target,
        context=resolved.context,
        settings=resolved.settings,
        **vars(resolved.setup),
        deploy_dtype=deployment_dtype(resolved.options.deploy_dtype),
        coverage=seen.coverage,
        findings=outcome.findings,
        not_run=outcome.not_run,
        passed=outcome.passed,
        unanalysed=(*seen.failed, *undecided(outcome.not_run, several(given.select), resolved.rules.required)),
        fail_on=resolved.fail_on,
    )


@takes_options(filter(for_inspect, _OPTIONS))
def inspect(target: Target, **options: Unpack[InspectKeywords]) -> FactTable:
    """The facts that the rules would read; what is said of an option holds as for `check`, and costs the same.

    One trace by default; with `run=True` five forwards, a backward and the memory of a copy as well.

    Args:
        target: As for `check`.
        **options: The options of a check, apart from those on rules.

    Returns:
        The fact table.

    Raises:
        UsageError: For a wrong argument or import string.
        NotAnalysedError: For a file that cannot be read.
    """
    return _look(target, inspect_options(options).with_loader())[1].table


def _look(target: Target, options: CheckOptions) -> tuple[Artifact, Seen]:
    check_data(options.data, options.data_batches)
    deployment_dtype(options.deploy_dtype)  # a mistake in it is said before anything is read
    options.tell("reading")
    with _as_it_was(target):
        return _seen(target, options)


def _as_it_was(target: Target) -> AbstractContextManager[None]:
    """A block that leaves the process as it was where the target is code; to read a file may not take torch."""
    if (name := _name_of(target)) is not None:
        if ":" not in name:  # as in most names of files, which the next need not be imported for
            return nullcontext()

        from bnlint.artifacts.import_string import is_import_string

        if not is_import_string(name):
            return nullcontext()

    from bnlint.tracing.door import looking_at_a_model

    return looking_at_a_model()


def _name_of(target: object) -> str | None:
    """The path or import string that is the target; `None` for an object, whose own code is not asked what it is."""
    return os.fspath(cast("str | os.PathLike[str]", target)) if issubclass(type(target), (str, os.PathLike)) else None


def _seen(target: Target, options: CheckOptions) -> tuple[Artifact, Seen]:
    name = _name_of(target)
    if name is None:
        from bnlint.looking.live import artifact_of, look_at

        artifact = artifact_of(target)
        return artifact, look_at(artifact, options)
    artifact = read(
        name,
        weights=None if options.weights is None else os.fspath(options.weights),
        kwargs=options.kwargs,
        trust=options.trust,
        key=options.key,
        allow=options.allow,
    )
    if artifact.saved is not None and artifact.module is None:
        options.tell("facts")
        return artifact, look_at_saved(artifact, artifact.saved, options)

    from bnlint.looking.live import look_at
    from bnlint.tracing.door import looking_at_a_model

    with looking_at_a_model():
        return artifact, look_at(artifact, options)
