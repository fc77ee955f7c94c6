"""Which rules a word means."""

from __future__ import annotations

from collections.abc import Sequence

from bnlint.errors import UsageError
from bnlint.ruleset.nearest import did_you_mean
from bnlint.ruleset.rule import Rule


def matching(rules: Sequence[Rule], word: str) -> tuple[Rule, ...]:
    """The rules that a code, a name, or the beginning of codes such as `BN5` means.

    Raises:
        UsageError: If there is none; it offers the nearest right word.
    """
    found = tuple(rule for rule in rules if _fits(rule, word))
    if not found:
        raise _unknown(rules, word)
    return found


def find_rule(rules: Sequence[Rule], code_or_name: str) -> Rule:
    """The rule with a code or a name.

    Raises:
        UsageError: If there is none; it offers the nearest right one.
    """
    for rule in rules:
        if code_or_name.casefold() in {rule.code.casefold(), rule.name}:
            return rule
    raise _unknown(rules, code_or_name)


def _fits(rule: Rule, word: str) -> bool:
    folded = word.casefold()
    return bool(folded) and (folded == rule.name or rule.code.casefold().startswith(folded))


def _unknown(rules: Sequence[Rule], word: str) -> UsageError:
    candidates = [text for rule in rules for text in (rule.code, rule.name)]
    return UsageError(f'There is no rule "{word}";', did_you_mean(word, candidates) or "`bnlint rules` lists them.")
