"""Which rules the user means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bnlint.errors import UsageError
from bnlint.ruleset.nearest import did_you_mean
from bnlint.ruleset.rule import Rule


def choose(rules: Sequence[Rule], select: Iterable[str] = (), ignore: Iterable[str] = ()) -> tuple[Rule, ...]:
    """The rules to run.

    Args:
        rules: All rules.
        select: Codes, names, or beginnings of codes such as `BN5`; nothing means all rules.
        ignore: The same, for rules to leave out; it wins over `select`.

    Returns:
        The chosen rules in the given order.

    Raises:
        UsageError: If a word fits no rule; it offers the nearest right one.
    """
    chosen = _codes(rules, select)
    ignored = _codes(rules, ignore)
    return tuple(rule for rule in rules if (not chosen or rule.code in chosen) and rule.code not in ignored)


def find_rule(rules: Sequence[Rule], code_or_name: str) -> Rule:
    """The rule with a code or a name.

    Raises:
        UsageError: If there is none; it offers the nearest right one.
    """
    for rule in rules:
        if code_or_name.casefold() in {rule.code.casefold(), rule.name}:
            return rule
    raise _unknown(rules, code_or_name)


def _codes(rules: Sequence[Rule], words: Iterable[str]) -> set[str]:
    codes: set[str] = set()
    for word in [words] if isinstance(words, str) else words:
        matches = [rule.code for rule in rules if _fits(rule, word)]
        if not matches:
            raise _unknown(rules, word)
        codes.update(matches)
    return codes


def _fits(rule: Rule, word: str) -> bool:
    folded = word.casefold()
    return bool(folded) and (folded == rule.name or rule.code.casefold().startswith(folded))


def _unknown(rules: Sequence[Rule], word: str) -> UsageError:
    candidates = [text for rule in rules for text in (rule.code, rule.name)]
    return UsageError(f'There is no rule "{word}";', did_you_mean(word, candidates) or "`bnlint rules` lists them.")
