"""Adjusts rules to the settings of a user: which run, how much they matter, and their options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bnlint.errors import UsageError
from bnlint.report import Severity
from bnlint.ruleset.find import find_rule, matching
from bnlint.ruleset.nearest import alternatives, did_you_mean
from bnlint.ruleset.rule import Rule
from bnlint.ruleset.settings import Layer, Number
from bnlint.ruleset.source import Key


@dataclass(frozen=True)
class Adjusted:
    """The rules after all settings.

    Attributes:
        rules: Every rule.
        chosen: Codes of those to run.
        required: Codes of those, among them, that have to be decided.
    """

    rules: tuple[Rule, ...]
    chosen: frozenset[str]
    required: frozenset[str] = frozenset()

    @property
    def to_run(self) -> tuple[Rule, ...]:
        """The rules to run, in the order of `rules`."""
        return tuple(rule for rule in self.rules if rule.code in self.chosen)


def adjust(rules: Sequence[Rule], layers: Iterable[Layer]) -> Adjusted:
    """Adjust rules to settings, one layer after the other.

    A layer that selects starts afresh from all rules; one that ignores takes away from what it finds. What a later
    layer requires replaces what an earlier one does, and its severities and options do so entry by entry.

    Args:
        rules: All rules.
        layers: The settings, the weakest first.

    Raises:
        UsageError: If a rule or an option is unknown, or an option is no finite number; it offers the nearest right
            name, and names file and line where the settings come from a file.
    """
    changed = {rule.code: rule for rule in rules}
    chosen = set(changed)
    required: set[str] = set()
    for layer in layers:
        settings = layer.settings
        if settings.select:
            chosen = _fitting(rules, layer, "select", settings.select)
        chosen -= _fitting(rules, layer, "ignore", settings.ignore)
        if settings.require:
            required = _fitting(rules, layer, "require", settings.require)
        for code, severity in _severities(rules, layer).items():
            changed[code] = replace(changed[code], severity=severity)
        for word, options in settings.options.items():
            with _blaming(layer, "options", word):
                code = find_rule(rules, word).code
            changed[code] = _with_options(changed[code], options, layer, word)
    return Adjusted(tuple(changed.values()), frozenset(chosen), frozenset(required & chosen))


def _fitting(rules: Sequence[Rule], layer: Layer, key: str, words: Sequence[str]) -> set[str]:
    codes: set[str] = set()
    for index, word in enumerate(words):
        with _blaming(layer, key, index):
            codes.update(rule.code for rule in matching(rules, word))
    return codes


def _severities(rules: Sequence[Rule], layer: Layer) -> dict[str, Severity]:
    """The severities that a layer gives, by code: a long word wins over a short one, and a name counts as a code."""
    given: list[tuple[int, str, Severity]] = []
    for word, severity in layer.settings.severity.items():
        with _blaming(layer, "severity", word):
            fitting = matching(rules, word)
        given += [(_length(rule, word), rule.code, severity) for rule in fitting]
    return {code: severity for _, code, severity in sorted(given, key=lambda entry: entry[0])}


def _length(rule: Rule, word: str) -> int:
    return len(word) if rule.code.casefold().startswith(word.casefold()) else len(rule.code)


def _with_options(rule: Rule, options: Mapping[str, Number], layer: Layer, word: str) -> Rule:
    for name, value in options.items():
        with _blaming(layer, "options", word, name):
            _refuse_option(rule, name, value)
    merged = {**rule.options, **options}
    message = replace(rule.message, options=merged)
    return replace(rule, options=merged, when=rule.when.with_options(merged), message=message)


def _refuse_option(rule: Rule, name: str, value: Number) -> None:
    if not rule.options:
        raise UsageError(f"The rule {rule.code} has no options.")
    if name not in rule.options:
        hint = did_you_mean(name, rule.options) or f"it has {alternatives(rule.options, 'and')}."
        raise UsageError(f'The rule {rule.code} has no option "{name}";', hint)
    if not math.isfinite(value):
        raise UsageError(f'The option "{name}" of {rule.code} must be a finite number, not {value}.')


@contextmanager
def _blaming(layer: Layer, *path: Key) -> Iterator[None]:
    """Adds to an error where in the source of a layer the mistake is."""
    try:
        yield
    except UsageError as error:
        raise layer.source.error(path, error.cause[0].lower() + error.cause[1:], error.hint) from error
