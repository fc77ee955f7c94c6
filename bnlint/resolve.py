"""What a check is to do, from bnlint's own settings, a profile, the configuration file and the arguments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bnlint.checking.option import several
from bnlint.checking.options import CheckOptions
from bnlint.config import ConfigFile, read_config
from bnlint.errors import UsageError
from bnlint.facts.setup import TrainingSetup
from bnlint.opening import refusal, resolved
from bnlint.report import Context, Severity
from bnlint.ruleset import Adjusted, adjust, load_rules
from bnlint.ruleset.profiles import profile_layer
from bnlint.ruleset.required import contexts_of, refuse_dropped
from bnlint.ruleset.settings import Layer, Settings, arguments

NEVER: Final = "never"


@dataclass(frozen=True)
class Resolved:
    """The settings after all layers.

    Attributes:
        options: The options, with what the loader declares, and what the configuration file sets and they do not.
        rules: The rules, adjusted.
        context: What the model is about to do.
        fail_on: The least severity that fails; `None` for none.
        setup: How the model is trained, as far as it is declared.
        settings: Where settings come from, the weakest first, such as `profile deploy` and `bnlint.yaml`.
        requiring: The configuration file or the arguments, whichever says what has to be decided; `None` where only a
            profile does, or nothing.
    """

    options: CheckOptions
    rules: Adjusted
    context: Context
    fail_on: Severity | None
    setup: TrainingSetup
    settings: tuple[str, ...]
    requiring: Layer | None = None


def resolve(options: CheckOptions) -> Resolved:
    """Put the layers of settings on one another: bnlint's own, the profile, the configuration file, the options.

    Args:
        options: The options; a profile takes the place of the one that the configuration file names, and folders with
            rules come beside those of the file.

    Raises:
        UsageError: If a layer names something that does not exist, or sets what cannot be; it offers the nearest
            right name.
        RuleFileError: If a rule cannot be used.
    """
    options = options.with_loader()
    config = options.config
    if config is not None and not isinstance(config, ConfigFile):
        config = read_config(config)
    merged = options if config is None else options.over(config.options)
    layers: list[Layer] = []
    if merged.profile is not None:
        named_by_file = config if options.profile is None else None
        layers.append(profile_layer(merged.profile) if named_by_file is None else _own_profile(named_by_file))
    of_user = [*(() if config is None else (config.layer,)), arguments(_settings(options))]
    layers += of_user
    folders = [Path(folder) for folder in (*(() if config is None else config.options.rules), *options.rules)]
    settings = [layer.settings for layer in layers]
    return Resolved(
        options=merged,
        rules=adjust(load_rules([*{_place(folder): folder for folder in folders}.values()]), layers),
        context=_last(settings, "context") or Context.INFERENCE,
        fail_on=_fail_on(_last(settings, "fail_on") or Severity.WARNING),
        setup=merged.setup,
        settings=(
            *(() if merged.profile is None else (f"profile {merged.profile}",)),
            *(() if config is None else (config.name,)),
        ),
        requiring=next((layer for layer in reversed(of_user) if layer.settings.require), None),
    )


def _settings(options: CheckOptions) -> dict[str, Any]:
    """The options that are settings: fields of `Settings` by name."""
    return {
        "context": options.context,
        "fail_on": options.fail_on,
        "select": several(options.select),
        "ignore": several(options.ignore),
        "require": several(options.require),
        "severity": dict(options.severity or {}),
        "options": {rule: dict(own) for rule, own in (options.options or {}).items()},
    }


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


def _own_profile(config: ConfigFile) -> Layer:
    try:
        return profile_layer(config.options.profile or "")
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
