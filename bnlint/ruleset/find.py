"""Which rules a word means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bnlint.errors import UsageError
from bnlint.ruleset.nearest import alternatives, did_you_mean
from bnlint.ruleset.rule import Rule

_CODE: Final = re.compile(r"bn\d*", re.IGNORECASE)


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
    """The nearest rule; of a code that is well formed, its family, as no number is nearer to another in meaning."""
    hint = "`bnlint rules` lists them."
    if "," in word or len(word.split()) > 1:
        hint = "name each by itself."
    elif _CODE.fullmatch(word):
        family = [rule.code for rule in rules if rule.code.casefold().startswith(word[:3].casefold())]
        hint = f"{word[:3].upper()} has {family[0]} to {family[-1]}." if family else _families(rules)
    else:
        hint = did_you_mean(word, [text for rule in rules for text in (rule.code, rule.name)]) or hint
    return UsageError(f'There is no rule "{word}";', hint)


def _families(rules: Sequence[Rule]) -> str:
    families = dict.fromkeys(rule.code[:3] for rule in rules if _CODE.fullmatch(rule.code))
    return f"codes begin with {alternatives(families)}."
