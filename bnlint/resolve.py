"""What a check is to do, from bnlint's own settings, a profile, the configuration file and the arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bnlint.config import ConfigFile
from bnlint.errors import UsageError
from bnlint.facts.setup import TrainingSetup
from bnlint.opening import refusal, resolved
from bnlint.report import Context, Severity
from bnlint.ruleset import Adjusted, adjust, load_rules
from bnlint.ruleset.profiles import profile_layer
from bnlint.ruleset.required import contexts_of, refuse_dropped
from bnlint.ruleset.settings import Layer, Settings, arguments

if TYPE_CHECKING:
    import torch

NEVER: Final = "never"


@dataclass(frozen=True)
class Resolved:
    """The settings after all layers.

    Attributes:
        rules: The rules, adjusted.
        context: What the model is about to do.
        fail_on: The least severity that fails; `None` for none.
        setup: How the model is trained, as far as it is declared.
        deploy_dtype: The data type of deployment, as far as it is declared.
        settings: Where settings come from, the weakest first, such as `profile deploy` and `bnlint.yaml`.
        requiring: The configuration file or the arguments, whichever says what has to be decided; `None` where only a
            profile does, or nothing.
    """

    rules: Adjusted
    context: Context
    fail_on: Severity | None
    setup: TrainingSetup
    deploy_dtype: torch.dtype | str | None
    settings: tuple[str, ...]
    requiring: Layer | None = None


def given_settings(
    *,
    context: Context | str | None = None,
    fail_on: Severity | str | None = None,
    select: str | Iterable[str] = (),
    ignore: str | Iterable[str] = (),
    require: str | Iterable[str] = (),
    severity: Mapping[str, Severity | str] | None = None,
    options: Mapping[str, Mapping[str, int | float]] | None = None,
) -> dict[str, Any]:
    """The arguments of a check that are settings, as `resolve` takes them: fields of `Settings` by name."""
    return {
        "context": context,
        "fail_on": fail_on,
        "select": several(select),
        "ignore": several(ignore),
        "require": several(require),
        "severity": dict(severity or {}),
        "options": {rule: dict(own) for rule, own in (options or {}).items()},
    }


def several(names: str | Iterable[str]) -> tuple[str, ...]:
    """One name, or many, as many."""
    return (names,) if isinstance(names, str) else tuple(names)


def resolve(
    given: Mapping[str, Any],
    *,
    profile: str | None = None,
    config: ConfigFile | None = None,
    folders: Iterable[Path] = (),
    setup: TrainingSetup | None = None,
    deploy_dtype: torch.dtype | str | None = None,
) -> Resolved:
    """Put the layers of settings on one another: bnlint's own, the profile, the configuration file, the arguments.

    Args:
        given: The arguments, from `given_settings`.
        profile: Name of a profile; it takes the place of the one that the configuration file names.
        config: The configuration file.
        folders: Folders with rules, besides those of the configuration file.
        setup: How the model is trained, as far as arguments declare it.
        deploy_dtype: The data type of deployment, likewise.

    Raises:
        UsageError: If a layer names something that does not exist, or sets what cannot be; it offers the nearest
            right name.
        RuleFileError: If a rule cannot be used.
    """
    setup = setup or TrainingSetup()
    layers: list[Layer] = []
    name = profile if profile is not None or config is None else config.config.profile
    if name is not None:
        layers.append(profile_layer(name) if profile is not None or config is None else _own_profile(config, name))
    of_user = [*(() if config is None else (config.layer,)), arguments(given)]
    layers += of_user
    all_folders = {_place(folder): folder for folder in (*(() if config is None else config.folders), *folders)}
    settings = [layer.settings for layer in layers]
    return Resolved(
        rules=adjust(load_rules([*all_folders.values()]), layers),
        context=_last(settings, "context") or Context.INFERENCE,
        fail_on=_fail_on(_last(settings, "fail_on") or Severity.WARNING),
        setup=setup if config is None else setup.over(config.config.setup),
        deploy_dtype=deploy_dtype if deploy_dtype is not None or config is None else config.config.deploy_dtype,
        settings=(*(() if name is None else (f"profile {name}",)), *(() if config is None else (config.name,))),
        requiring=next((layer for layer in reversed(of_user) if layer.settings.require), None),
    )


def require_some_rule(resolved: Resolved) -> None:
    """Refuse settings that leave nothing to run, or not what has to be decided: a check of nothing must not pass.

    Args:
        resolved: The settings.

    Raises:
        UsageError: If no rule is left, or none that is for the context; or if the user requires one that is not left.
    """
    to_run = resolved.rules.to_run
    if not to_run:
        raise UsageError("No rule is left to run: all that are selected are ignored.", "`bnlint rules` lists them.")
    if any(rule.makes_sense(resolved.context, resolved.setup.declared) for rule in to_run):
        if resolved.requiring is not None:
            refuse_dropped(resolved.requiring, resolved.rules, resolved.context, resolved.setup.declared)
        return
    others, for_others = contexts_of(to_run)
    cause = f"No rule is left to run for {resolved.context}: {for_others}."
    raise UsageError(cause, f"Give `--context {others}`, or select other rules.")


def _own_profile(config: ConfigFile, name: str) -> Layer:
    try:
        return profile_layer(name)
    except UsageError as error:
        raise config.layer.source.error(("profile",), error.cause[0].lower() + error.cause[1:], error.hint) from error


def _place(folder: Path) -> Path:
    """The folder without links; as it is where it will be refused."""
    return folder if refusal(folder) else resolved(folder)


def _last(settings: Iterable[Settings], name: str) -> Any:
    """The value of a field in the strongest layer that sets it."""
    return next((getattr(item, name) for item in reversed(list(settings)) if getattr(item, name) is not None), None)


def _fail_on(word: str) -> Severity | None:
    return None if word == NEVER else Severity(word)
