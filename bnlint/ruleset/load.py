"""The rules of bnlint and of the user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import bnlint
from bnlint.errors import RuleFileError
from bnlint.opening import is_folder, is_there, reason, refusal
from bnlint.ruleset.rule import Rule
from bnlint.ruleset.rule_file import read_rule

OWN_PREFIX = "BN"
"""Codes that begin so belong to bnlint."""

PROFILES = "profiles.yaml"
"""The one file in bnlint's own folder that is no rule."""


def load_rules(folders: Sequence[Path] = ()) -> tuple[Rule, ...]:
    """The built-in rules and those of further folders.

    Args:
        folders: Folders whose `.yaml` and `.yml` files are rules, one each; folders within them are not searched.

    Returns:
        All rules by code.

    Raises:
        RuleFileError: If a folder is missing or holds no rule, if a rule file is wrong, if two rules have the same
            code or name, or if a user's code begins with BN.
    """
    rules = [*_built_in(), *(rule for folder in folders for rule in _user_rules(Path(folder)))]
    _refuse_duplicates(rules)
    return tuple(sorted(rules, key=lambda rule: rule.code))


def built_in_folder() -> Path:
    """Where bnlint's own rule files are: in the installed package, else in the source tree."""
    package = Path(bnlint.__file__).parent
    installed = package / "_rules"
    return installed if is_folder(installed) else package.parent / "rules"


@cache
def _built_in() -> tuple[Rule, ...]:
    return tuple(read_rule(file, f"rules/{file.name}") for file in _files(built_in_folder()) if file.name != PROFILES)


def _user_rules(folder: Path) -> list[Rule]:
    rules = [read_rule(file, file.as_posix()) for file in _files(folder)]
    for rule in rules:
        if rule.code.startswith(OWN_PREFIX):
            raise RuleFileError(
                f"{rule.source}: the code {rule.code} begins with {OWN_PREFIX}, which is for bnlint's own rules;",
                "choose other letters.",
            )
    return rules


def _files(folder: Path) -> list[Path]:
    if why := refusal(folder):
        raise RuleFileError(f"The folder of rules {folder} cannot be read: {why}.")
    if not is_there(folder):
        raise RuleFileError(f"There is no folder of rules {folder}.")
    if not is_folder(folder):
        raise RuleFileError(f"{folder} is not a folder;", "give the folder that holds the rule files.")
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix in {".yaml", ".yml"} and not is_folder(file))
    except OSError as error:
        raise RuleFileError(f"The folder of rules {folder} cannot be read: {reason(error)}.") from error
    if not files:
        raise RuleFileError(f"The folder {folder} holds no rule file (`*.yaml`).")
    return files


def _refuse_duplicates(rules: Iterable[Rule]) -> None:
    known: dict[str, Rule] = {}
    for rule in rules:
        for word in (rule.code, rule.name):
            other = known.setdefault(word, rule)
            if other is not rule:
                kind = "code" if word == rule.code else "name"
                raise RuleFileError(f"{rule.source} and {other.source} have the same {kind}: {word}.")
