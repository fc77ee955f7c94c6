"""The public functions: read, trace, collect facts, apply rules."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bnlint import __version__
from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.import_string import is_import_string
from bnlint.artifacts.read import read
from bnlint.config import ConfigFile, read_config
from bnlint.facts.gains import deployment_dtype
from bnlint.facts.records import FactTable
from bnlint.facts.setup import TrainingSetup
from bnlint.looking.files import look_at_saved
from bnlint.looking.look import Progress, Seen, Wanted, check_data
from bnlint.report import Context, Report, Severity
from bnlint.resolve import given_settings, require_some_rule, resolve, several
from bnlint.ruleset import apply_rules
from bnlint.ruleset.required import undecided

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.export import ExportedProgram

    Target = nn.Module | ExportedProgram | str | os.PathLike[str]


def check(
    target: Target,
    *,
    inputs: object = None,
    weights: str | os.PathLike[str] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    key: str = "",
    allow: str | Iterable[str] = (),
    context: Context | str | None = None,
    batch_size: int | None = None,
    devices: int | None = None,
    accumulate: int | None = None,
    dataset_size: int | None = None,
    drop_last: bool | None = None,
    loader: object = None,
    deploy_dtype: torch.dtype | str | None = None,
    run: bool | None = None,
    padding: str | Iterable[str] = (),
    data: object = None,
    data_batches: int | None = None,
    select: str | Iterable[str] = (),
    ignore: str | Iterable[str] = (),
    require: str | Iterable[str] = (),
    severity: Mapping[str, Severity | str] | None = None,
    options: Mapping[str, Mapping[str, int | float]] | None = None,
    profile: str | None = None,
    config: ConfigFile | str | os.PathLike[str] | None = None,
    rules: Iterable[str | os.PathLike[str]] = (),
    fail_on: Severity | str | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check the normalisation layers of a model.

    Args:
        target: A live module or `ExportedProgram`, the path of a saved model, or an import string such as
            `torchvision.models:resnet18`.
        inputs: What to call the model with: a tensor, a tuple of tensors, a dict of keyword tensors, or texts such as
            `1x3x224x224` and `input_ids=1x128:int64`. Guessed from the model if not given. The model is traced with it
            on meta tensors; values are used only where its code asks for them.
        weights: A weights file to load into the model of an import string.
        kwargs: Arguments for the factory of an import string.
        trust: Load whole models and exported programs, which runs the code that they name.
        key: Which of several models or sets of weights in a file, such as `ema`; the usual one if not given.
        allow: Packages whose classes a whole model in a file may be made of, such as `timm`, beside those of
            `torch.nn`: it is then traced without being unpickled. Their code runs.
        context: What the model is about to do: `inference`, the default, or `training`.
        batch_size: The training batch on each device, in samples.
        devices: Number of devices that train together.
        accumulate: Number of batches whose gradients are added up for one step of the optimiser.
        dataset_size: Samples in one epoch, over all devices.
        drop_last: Whether a short last batch is left out; kept if not given, as by `DataLoader`.
        loader: A `torch.utils.data.DataLoader` that declares these; it is not iterated over.
        deploy_dtype: The data type of deployment, `float16` or `bfloat16`.
        run: Whether to run a copy of the model with its weights, for BN110, BN111 and the fact `updates_per_forward`.
            Nothing is run by default, values in `inputs` or not. It costs four forwards in eval mode (six where
            samples influence each other), one forward and one backward in training mode, and the memory of a copy of
            the model with its gradients.
        padding: How inputs are padded, as `AXIS`, `NAME=AXIS` or `NAME=AXIS:VALUE`: a copy is then run with padding.
        data: Real inputs to compare running statistics with: the name of a file, or an iterable of batches such as a
            `DataLoader`; of `(images, labels)` the model gets what its `forward` requires.
        data_batches: How many batches of it to look at; 16 if not given.
        select: Codes, names or code prefixes of the rules to run; all by default.
        ignore: Codes, names or code prefixes of the rules to leave out.
        require: Codes, names or code prefixes of rules that have to be decided: where one cannot be, `Report.ok` is
            false.
        severity: Severities by code, name or beginning of codes, such as `{"BN201": "warning"}`.
        options: Options of rules by code or name, such as `{"BN301": {"minimum_values": 100}}`.
        profile: Name of a profile to start from, such as `deploy` or `strict`.
        config: A configuration file, over which the arguments win; in Python none is looked for.
        rules: Folders with further rule files.
        fail_on: The severity from which a finding makes `Report.ok` false, by default `warning`; `never` for none.
        timeout: Seconds for tracing.
        progress: Is told which stage begins.

    Returns:
        The report. The model is not changed.

    Raises:
        UsageError: For a wrong argument, import string, configuration file or rule file.
        NotAnalysedError: For a file that cannot be read.
    """
    say = progress or _say_nothing
    select = several(select)
    resolved = resolve(
        given_settings(
            context=context,
            fail_on=fail_on,
            select=select,
            ignore=ignore,
            require=require,
            severity=severity,
            options=options,
        ),
        profile=profile,
        config=config if config is None or isinstance(config, ConfigFile) else read_config(config),
        folders=[Path(folder) for folder in rules],
        setup=_setup(batch_size, devices, accumulate, dataset_size, drop_last, loader),
        deploy_dtype=deploy_dtype,
    )
    require_some_rule(resolved)
    deployed_in = deployment_dtype(resolved.deploy_dtype)
    wanted = Wanted(resolved.setup, deployed_in, inputs, bool(run), several(padding), data, data_batches, timeout)
    artifact, seen = _look(target, weights, kwargs, trust, key, allow, wanted, say)
    say("rules")
    outcome = apply_rules(resolved.rules.to_run, seen.table, resolved.context)
    return Report(
        version=__version__,
        target=artifact.target,
        context=resolved.context,
        settings=resolved.settings,
        batch_size=resolved.setup.batch_size,
        devices=resolved.setup.devices,
        accumulate=resolved.setup.accumulate,
        dataset_size=resolved.setup.dataset_size,
        drop_last=resolved.setup.drop_last,
        deploy_dtype=deployed_in,
        coverage=seen.coverage,
        findings=outcome.findings,
        not_run=outcome.not_run,
        passed=outcome.passed,
        unanalysed=(*seen.failed, *undecided(outcome.not_run, select, resolved.rules.required)),
        fail_on=resolved.fail_on,
    )


def inspect(
    target: Target,
    *,
    inputs: object = None,
    weights: str | os.PathLike[str] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    key: str = "",
    allow: str | Iterable[str] = (),
    batch_size: int | None = None,
    devices: int | None = None,
    accumulate: int | None = None,
    dataset_size: int | None = None,
    drop_last: bool | None = None,
    loader: object = None,
    deploy_dtype: torch.dtype | str | None = None,
    run: bool | None = None,
    padding: str | Iterable[str] = (),
    data: object = None,
    data_batches: int | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
) -> FactTable:
    """The facts that the rules would read; the arguments are those of `check`, and cost the same.

    One trace by default; with `run=True` five forwards, a backward and the memory of a copy as well.

    Returns:
        The fact table.

    Raises:
        UsageError: For a wrong argument or import string.
        NotAnalysedError: For a file that cannot be read.
    """
    setup = _setup(batch_size, devices, accumulate, dataset_size, drop_last, loader)
    wanted = Wanted(
        setup,
        deployment_dtype(deploy_dtype),
        inputs,
        bool(run),
        several(padding),
        data,
        data_batches,
        timeout,
    )
    return _look(target, weights, kwargs, trust, key, allow, wanted, progress or _say_nothing)[1].table


def _look(
    target: Target,
    weights: str | os.PathLike[str] | None,
    kwargs: Mapping[str, Any] | None,
    trust: bool,
    key: str,
    allow: str | Iterable[str],
    wanted: Wanted,
    say: Progress,
) -> tuple[Artifact, Seen]:
    check_data(wanted.data, wanted.data_batches)
    say("reading")
    with _as_it_was(target):
        return _seen(target, weights, kwargs, trust, key, allow, wanted, say)


def _as_it_was(target: Target) -> AbstractContextManager[None]:
    """A block that leaves the process as it was where the target is code; to read a file may not take torch."""
    if (name := _name_of(target)) is not None and not is_import_string(name):
        return nullcontext()

    from bnlint.tracing.door import looking_at_a_model

    return looking_at_a_model()


def _name_of(target: object) -> str | None:
    """The path or import string that is the target; `None` for an object, whose own code is not asked what it is."""
    return os.fspath(cast("str | os.PathLike[str]", target)) if issubclass(type(target), (str, os.PathLike)) else None


def _seen(
    target: Target,
    weights: str | os.PathLike[str] | None,
    kwargs: Mapping[str, Any] | None,
    trust: bool,
    key: str,
    allow: str | Iterable[str],
    wanted: Wanted,
    say: Progress,
) -> tuple[Artifact, Seen]:
    name = _name_of(target)
    if name is None:
        from bnlint.looking.live import artifact_of, look_at

        artifact = artifact_of(target)
        return artifact, look_at(artifact, wanted, say)
    artifact = read(
        name,
        weights=None if weights is None else os.fspath(weights),
        kwargs=kwargs,
        trust=trust,
        key=key,
        allow=allow,
    )
    if artifact.saved is not None and artifact.module is None:
        say("facts")
        return artifact, look_at_saved(artifact, artifact.saved, wanted)

    from bnlint.looking.live import look_at
    from bnlint.tracing.door import looking_at_a_model

    with looking_at_a_model():
        return artifact, look_at(artifact, wanted, say)


def _setup(
    batch_size: int | None,
    devices: int | None,
    accumulate: int | None,
    dataset_size: int | None,
    drop_last: bool | None,
    loader: object,
) -> TrainingSetup:
    """What the arguments declare, completed by the loader."""
    given = TrainingSetup(
        batch_size=batch_size, devices=devices, accumulate=accumulate, dataset_size=dataset_size, drop_last=drop_last
    )
    if loader is None:
        return given

    from bnlint.facts.loader import setup_of_loader

    return given.joined_with(setup_of_loader(loader))


def _say_nothing(_: str) -> None:
    pass
